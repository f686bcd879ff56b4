"""Pretrained weights for the emoji study, one file for each split.

    python -m experiments.pretrain --seeds=20 --vectorize-seeds
    python -m experiments.finetune --dataset=emoji --weights='results/pretrain/emoji/small_cnn/seed-{seed}.safetensors'

A network learns Unicode's subgroups, 94 finer classes, from the vendors that the study does not
use. It sees only the emoji in the training part of one seed's split. So the emoji on which a run of
that seed validates and tests stay unseen. The last parameters are kept. The split is in the file's
metadata, and a run with another split refuses the file. Writes seed-SEED.safetensors to
RESULTS_DIR/pretrain/emoji/MODEL.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

import tyro

from dg_jax import config, errors
from dg_jax.command_line import flags, program
from dg_jax.data import progress_bar, registry
from experiments.sweep import TO_GO_ON

# What weights depend on, apart from their split.
_SETTINGS = ("iterations", "batch_size", "learning_rate", "weight_decay", "model", "dtype", "image_size")


@dataclasses.dataclass(frozen=True)
class Pretrain:
    """Train on the vendors that are not among --domains, on the training emoji of each seed's split."""

    seeds: int = 20
    """How many seeds, from 0."""
    vectorize_seeds: bool = False
    """Train all seeds in one program. Faster on a GPU with a small network."""
    domains: tuple[str, ...] = registry.get("emoji").default_domains
    """The domains of the study, by which the emoji are split; the network sees none of them."""
    iterations: int = 1000
    """Training steps."""
    batch_size: int = 64
    """Images of each vendor in a step."""
    learning_rate: Annotated[float, tyro.conf.arg(aliases=("--lr",))] = 1e-3
    """Step size of Adam."""
    weight_decay: Annotated[float, tyro.conf.arg(aliases=("--wd",))] = 5e-5
    """Weight λ of the L2 term that is added to the gradient."""
    model: Literal["small_cnn", "alexnet"] = "small_cnn"
    """Which network."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in."""
    image_size: int = 32
    """Height and width of the images, in pixels."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept. By default TFDS's own directory, ~/tensorflow_datasets."""
    results_dir: pathlib.Path = pathlib.Path("results")
    """Weights are written to RESULTS_DIR/pretrain/emoji/MODEL."""
    overwrite: bool = False
    """Do again what exists already."""


def configs(settings: Pretrain) -> list[config.RunConfig]:
    """Returns for each seed the settings of its training, as those of a run with Deep-All.

    Raises:
        UserError: a setting cannot be used.
    """
    from dg_jax import models

    if settings.seeds < 1:
        raise errors.UserError(f"--seeds={settings.seeds}: give a whole number of at least 1")
    if not settings.domains:
        raise errors.UserError("--domains: name the domains of the study, which the weights must not have seen")
    usual = config.defaults("emoji")
    given = {name: value for name, value in vars(settings).items() if name in config.flat(usual)}
    like = config.changed(usual, strategy="deep_all", **given)
    like = config.resolve(config.changed(like, target=like.data.domains[0]))
    config.check(like)
    models.check(like.network.model, like.data.image_size)
    if not vendors_of(like):
        raise errors.UserError(f"--domains {' '.join(like.data.domains)} leaves no vendor to pretrain on; name fewer")
    return [config.changed(like, seed=seed) for seed in range(settings.seeds)]


def vendors_of(one: config.RunConfig) -> list[str]:
    """Returns the domains that the study does not use."""
    return [vendor for vendor in registry.get("emoji").domains if vendor not in one.data.domains]


def file_of(one: config.RunConfig) -> pathlib.Path:
    """Returns where the weights of a seed are kept."""
    return one.output.results_dir / "pretrain" / one.data.dataset / one.network.model / f"seed-{one.seed}.safetensors"


def metadata_of(one: config.RunConfig) -> dict[str, str]:
    """Returns the metadata of a weights file, which :func:`dg_jax.run.create_network` reads."""
    return {
        "model": one.network.model,
        "dataset": one.data.dataset,
        "split_seed": str(one.seed),
        "split_domains": " ".join(sorted(one.data.domains)),
        "pretrained_on": " ".join(vendors_of(one)),
        "settings": json.dumps({name: config.flat(one)[name] for name in _SETTINGS}),
    }


def missing(all_configs: list[config.RunConfig]) -> list[config.RunConfig]:
    """Returns the settings of the seeds whose weights are not on disk.

    Raises:
        UserError: weights on disk were made with other settings.
    """
    from dg_jax.models import weights

    to_do = []
    for one in all_configs:
        path = file_of(one)
        if one.output.overwrite or not path.exists():
            to_do.append(one)
            continue
        _, theirs = weights.read(path)
        for name, ours in metadata_of(one).items():
            if theirs.get(name) != ours:
                raise errors.UserError(
                    f"{path} was made with other settings: {name} is {ours} here, {theirs.get(name)} there; "
                    "give the same, another --results-dir, or --overwrite to do it again"
                )
    return to_do


def pretrain(
    group: Sequence[config.RunConfig], report: Callable[[int], None]
) -> Iterator[tuple[config.RunConfig, dict, float]]:
    """Trains seeds side by side.

    Args:
        group: their settings, which differ only in their seeds.
        report: called for each step with the number of seeds.

    Yields:
        For each seed: its settings, its tensors by their names in a weights file, and its
        accuracy on its training data.

    Raises:
        UserError: the dataset cannot be opened, a batch is larger than a vendor's part, or a
            loss is not finite.
    """
    import jax

    from dg_jax import models
    from dg_jax.training import advance, drive, evaluate, interrupt, keys, seeds, step
    from experiments.pretrain import subgroups

    like, vendors = group[0], vendors_of(group[0])
    data = list(
        subgroups.load(
            vendors,
            like.data.domains,
            [one.seed for one in group],
            image_size=like.data.image_size,
            prepared_dir=like.data.prepared_dir,
        )
    )
    parts = [[own.domains[vendor]["train"] for vendor in vendors] for own in data]
    smallest = min(len(part.label) for of_seed in parts for part in of_seed)
    if like.optimisation.batch_size > smallest:
        raise errors.UserError(
            f"--batch-size={like.optimisation.batch_size} is larger than the training part, {smallest} images"
        )
    networks = [
        models.create(
            one.network.model, len(own.classes), keys.key_for(one.seed, keys.Purpose.WEIGHTS), dtype=one.network.dtype
        )
        for one, own in zip(group, data, strict=True)
    ]
    apply_fn = networks[0][1]
    alone, together = seeds.feeds(group, parts)
    trainer = step.make_trainer(like, apply_fn, networks[0][0], alone)
    state = seeds.first_state(trainer, group, seeds.stacked([of_seed for of_seed, _ in networks]))
    take_steps = advance.Advance(jax.vmap(trainer.step), together, 0)
    numbers = [one.seed for one in group]

    class Report(drive.Hook):
        every = like.optimisation.val_every

        def on_step(self, number, metrics):
            report(len(group))

    with interrupt.StopRequest() as stop:
        state, _ = drive.drive(
            take_steps,
            state,
            like.optimisation.iterations,
            [Report()],
            sources=[vendors] * len(group),
            stop=stop,
            seeds=numbers,
        )
    evaluations = evaluate.make_evaluate_seeds(apply_fn)(state.params, seeds.stacked_passes(parts))
    tensors = models.named(jax.device_get(state.params))
    for i, one in enumerate(group):
        yield one, {name: of_seeds[i] for name, of_seeds in tensors.items()}, evaluations[i].accuracy


def make(arguments: Sequence[str]) -> None:
    """Trains the seeds whose weights are missing, and writes their weights."""
    settings: Pretrain = flags.cli(Pretrain, arguments, prog="python -m experiments.pretrain")
    all_configs = configs(settings)
    from dg_jax.models import weights
    from dg_jax.training import backend

    backend.keep_compiled_programs()
    to_do = missing(all_configs)
    with progress_bar.ProgressBar("steps", len(to_do) * settings.iterations) as bar:
        for group in [to_do] if settings.vectorize_seeds and to_do else [[one] for one in to_do]:
            for one, tensors, accuracy in pretrain(group, bar.advance):
                path = file_of(one)
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise errors.UserError(
                        f"--results-dir={settings.results_dir}: cannot write {path}: {error.strerror}"
                    ) from error
                weights.write(path, tensors, metadata_of(one) | {"train_accuracy": f"{accuracy:.4f}"})
    accuracies = [float(weights.metadata(file_of(one))["train_accuracy"]) for one in all_configs]
    print(
        f"{file_of(all_configs[0]).parent}: weights of {len(all_configs)} seeds, {len(all_configs) - len(to_do)} "
        f"existed before; accuracy on their training data: {100 * min(accuracies):.1f}% to {100 * max(accuracies):.1f}%"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
