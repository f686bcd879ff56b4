"""Loads the network of a finished run, and predicts the classes of new pictures.

python -m dg_jax.predict results/styles/line/agr_sum/seed-0 picture.png
"""

import concurrent.futures
import csv
import dataclasses
import functools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

import chex
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich import console, markup, progress, table

from dg_jax import errors
from dg_jax.command_line import flags, program
from dg_jax.config import MODELS
from dg_jax.reading.paths import expanded

_AT_ONCE = 128


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """The selected network of a finished run.

    Attributes:
        params: its parameters.
        classes: names of the classes, in the order of the logits.
        config: what the run's ``config.json`` holds.
        result: what its ``result.json`` holds.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``, as it was trained.
    """

    params: chex.ArrayTree
    classes: tuple[str, ...]
    config: dict[str, Any]
    result: dict[str, Any]
    apply_fn: Callable[..., chex.Array]

    @property
    def image_size(self) -> int | None:
        """Height and width of the RGB pictures of the training, in pixels; ``None`` if it had other examples."""
        shape = self.config["example"]["shape"]
        return shape[0] if self.config["example"]["dtype"] == "uint8" and shape[-1] == 3 else None

    def apply(self, examples: chex.Array) -> chex.Array:
        """Returns logits ``[n, classes]``.

        Args:
            examples: of the kind that the run was trained on: uint8 pictures ``[n, image_size, image_size, 3]``,
                which are normalised here, or floats ``[n, ...]``, such as vectors.

        Raises:
            ValueError: they are of another kind or size.
        """
        examples = jnp.asarray(examples)
        example = self.config["example"]
        is_of_kind = (examples.dtype == jnp.uint8) == (example["dtype"] == "uint8")
        if list(examples.shape[1:]) != example["shape"] or not is_of_kind:
            wanted = ", ".join(map(str, ["n", *example["shape"]]))
            raise ValueError(
                f"give examples as the run was trained on, {example['dtype']} [{wanted}], not {examples.dtype} "
                f"{list(examples.shape)}"
            )
        return self._logits(self.params, examples)

    @functools.cached_property
    def _logits(self) -> Callable[[chex.ArrayTree, chex.Array], chex.Array]:
        from dg_jax.data import sampling

        return jax.jit(
            lambda params, examples: self.apply_fn(params, sampling.network_input(examples), key=None, train=False)
        )


# The fields read from a run's configuration, with a check of each.
_NEEDED: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("model", "dataset", "dtype"), lambda value: isinstance(value, str)),
    "hidden_layers": lambda value: type(value) is int,
    "classes": lambda value: isinstance(value, list) and value != [] and all(isinstance(name, str) for name in value),
    "example": lambda value: isinstance(value, dict) and value.keys() >= {"shape", "dtype"},
}


def load(
    run_folder: str | os.PathLike,
    apply_fn: Callable[..., chex.Array] | None = None,
    params: chex.ArrayTree | None = None,
) -> TrainedNetwork:
    """Loads the selected network of a finished run; the data that it was trained on is not needed.

    Args:
        run_folder: the run's folder, such as ``results/styles/line/agr_sum/seed-0``.
        apply_fn: that of your own network, if :func:`dg_jax.fit` trained it.
        params: for such a network, parameters of its structure, such as those given to :func:`dg_jax.fit`.

    Raises:
        UserError: there is no finished run, its files are damaged, or its network is your own and was not given.

    Example:
        >>> network = load("results/styles/line/agr_sum/seed-0")  # doctest: +SKIP
        >>> network.classes[int(network.apply(pictures)[0].argmax())]  # doctest: +SKIP
        'flags'
    """
    from dg_jax import models
    from dg_jax.training import checkpoints, files
    from dg_jax.training.run_folder import RunFolder

    folder = RunFolder(expanded(os.fspath(run_folder), "run"))
    if not folder.result_file.exists():
        unfinished = folder.checkpoints.exists() or folder.config_file.exists()
        raise errors.UserError(
            f"{folder.path}: this run is not finished; --resume goes on with it"
            if unfinished
            else f"{folder.path} is not the folder of a run: there is no result.json; give "
            "RESULTS_DIR/DATASET/TARGET/STRATEGY/seed-SEED"
        )
    config = files.read_object(folder.config_file, _NEEDED)
    result = files.read_object(folder.result_file, {})
    if result.get("seeds_side_by_side"):
        raise errors.UserError(
            f"{folder.path} was trained with --vectorize-seeds, which keeps no network; do it again without"
        )
    if apply_fn is None:
        if config["model"] not in MODELS:
            raise errors.UserError(
                f"{folder.path}: its network is not one of dg_jax; give its apply_fn and params of its structure"
            )
        params, apply_fn = models.create(
            config["model"],
            len(config["classes"]),
            jax.random.key(0),
            None,
            config["dtype"],
            config["example"]["shape"],
            hidden_layers=config["hidden_layers"],
        )
    elif params is None:
        raise errors.UserError("params: give parameters of the structure that apply_fn takes")
    else:
        apply_fn = models.with_key_and_train(apply_fn)
    params, constants = checkpoints.read_selected(folder.checkpoints, params, getattr(apply_fn, "constants", {}))
    if isinstance(apply_fn, models.Pure):
        apply_fn = dataclasses.replace(apply_fn, constants=constants)
    return TrainedNetwork(params, tuple(config["classes"]), config, result, apply_fn)


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict the classes of pictures with a trained network, or write its weights."""

    run: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a finished run, RESULTS_DIR/DATASET/TARGET/STRATEGY/seed-SEED."""
    pictures: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional] = ()
    """Picture files, and folders of pictures."""
    json: bool = False
    """Print JSON: for each picture its class and the probabilities of all classes."""
    csv: bool = False
    """Print CSV."""
    export: pathlib.Path | None = None
    """Write the weights to this .safetensors file, which --weights of dg_jax.run takes."""


class Prediction(NamedTuple):
    """The prediction of a network for one picture.

    Attributes:
        path: the picture.
        probabilities: class -> probability, the highest first.
    """

    path: pathlib.Path
    probabilities: dict[str, float]


def predict(network: TrainedNetwork, files: Sequence[pathlib.Path], failed: dict[str, str]) -> Iterator[Prediction]:
    """Reads pictures as the run read its own, and yields a prediction for each.

    Args:
        network: a network of pictures.
        files: the pictures.
        failed: gets the reason for each picture that cannot be read, by its path.
    """
    from dg_jax.data import picture, registry, resize

    image_size = network.config["example"]["shape"][0]
    # A dataset stores pictures at one size. From that size they are resized to the network's.
    dataset = network.config["dataset"]
    is_stored = dataset in registry.DATASETS and not registry.get(dataset).is_computed
    size: int = registry.builder_of(dataset).SIZE if is_stored else image_size

    def read(path: pathlib.Path) -> np.ndarray | picture.DamagedError:
        try:
            return picture.decode(picture.encode(path, size))
        except picture.DamagedError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), _AT_ONCE):
            chosen = files[start : start + _AT_ONCE]
            images, paths = [], []
            for path, found in zip(chosen, pool.map(read, chosen), strict=True):
                if isinstance(found, picture.DamagedError):
                    failed[str(path)] = str(found)
                else:
                    images.append(found)
                    paths.append(path)
            if not images:
                continue
            filled = images + images[:1] * (_AT_ONCE - len(images))  # one shape, so that one program is compiled
            logits = network.apply(resize.bilinear(filled, image_size))
            for path, of_one in zip(paths, np.asarray(jax.nn.softmax(logits)), strict=False):
                order = np.argsort(-of_one, kind="stable")
                yield Prediction(path, {network.classes[i]: float(of_one[i]) for i in order})


def pictures_in(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Returns the given files, and for each folder all pictures in it, sorted.

    Raises:
        UserError: a folder holds no pictures.
    """
    from dg_jax.data import image_tree

    found: list[pathlib.Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        below = sorted(one for one in path.rglob("*") if image_tree.is_picture(one.relative_to(path)) and one.is_file())
        if not below:
            raise errors.UserError(f"{path} holds no pictures ({', '.join(image_tree.ENDINGS)})")
        found += below
    return found


def export(network: TrainedNetwork, path: pathlib.Path) -> None:
    """Writes the weights of a network of dg_jax so that ``--weights`` takes them.

    The file records the pictures that the network has seen, so that a later run does not test on them.

    Raises:
        UserError: the network is one of the caller's own, or the file cannot be written.
    """
    from dg_jax import models
    from dg_jax.models import weights

    config = network.config
    if not isinstance(network.apply_fn, models.Pure):
        raise errors.UserError("--export: weights files are for the networks of dg_jax; this one is your own")
    tensors = jax.device_get(models.named(network.params, network.apply_fn.constants))
    seed = config["split_seed"] if config["split_seed"] is not None else config["seed"]
    metadata = {
        "model": config["model"],
        "dataset": config["dataset"],
        "split_seed": str(seed),
        "split_domains": " ".join(sorted(config["domains"])),
        "pretrained_on": " ".join(network.result["sources"]),
        "strategy": config["strategy"],
        "classes": json.dumps(network.classes),
    }
    weights.write(path, tensors, metadata)


def show(predictions: Sequence[Prediction]) -> None:
    """Prints predictions as a table."""
    rows = table.Table("picture", "class", table.Column("probability", justify="right"))
    for path, probabilities in predictions:
        name, share = next(iter(probabilities.items()))
        rows.add_row(*(markup.escape(errors.printable(text)) for text in (str(path), name)), f"{100 * share:.1f}%")
    console.Console().print(rows)


def make(arguments: Sequence[str]) -> None:
    """Loads a network, predicts the classes of pictures, and writes its weights."""
    settings: Predict = flags.cli(Predict, arguments, prog="python -m dg_jax.predict")
    if settings.json and settings.csv:
        raise errors.UserError("--json and --csv exclude each other; give one of them")
    if not settings.pictures and settings.export is None:
        raise errors.UserError("name pictures or a folder of them, or --export=FILE")
    network = load(settings.run)
    if settings.export is not None:
        export(network, expanded(settings.export, "--export"))
        print(f"written: {errors.printable(str(settings.export))}", file=sys.stderr)
    if not settings.pictures:
        return
    if network.image_size is None:
        raise errors.UserError(
            f"{settings.run}: its network was not trained on RGB pictures; use dg_jax.load from Python"
        )
    files = pictures_in(settings.pictures)
    failed: dict[str, str] = {}
    terminal = console.Console(stderr=True)
    is_shown = terminal.is_terminal
    found = list(
        progress.track(
            predict(network, files, failed),
            "predicting",
            len(files),
            console=terminal,
            disable=not is_shown,
            transient=True,
        )
    )
    if settings.json:
        print(json.dumps([_as_json(one) for one in found], indent=2))
    elif settings.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["picture", "class", "probability"])
        for path, probabilities in found:
            name, share = next(iter(probabilities.items()))
            writer.writerow([errors.printable(str(path)), errors.printable(name), f"{share:.6f}"])
    elif found:
        show(found)
    if failed:
        raise errors.SomeFailedError(failed)


def _as_json(one: Prediction) -> dict[str, Any]:
    name, share = next(iter(one.probabilities.items()))
    return {"picture": str(one.path), "class": name, "probability": share, "probabilities": one.probabilities}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 1 if some pictures failed, 2 for bad input."""
    return program.main(make, "the same command starts again", arguments)


if __name__ == "__main__":
    sys.exit(main())
