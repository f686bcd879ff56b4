"""The command line: takes one configuration, does one run, gives one result.

python -m dg_jax.run --strategy=agr_sum
"""

import contextlib
import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

from rich import console, markup, table

from dg_jax import errors, strategies
from dg_jax.command_line import flags, program
from dg_jax.config import IMAGENET, Data, RunConfig, check, configure, flags_of_a_sweep, warn_of_slow_start

if TYPE_CHECKING:
    import chex

    from dg_jax.data import dataset
    from dg_jax.models import functional
    from dg_jax.training import drive

__all__ = [
    "check_batch_size",
    "check_unseen",
    "configure",
    "create_network",
    "identify",
    "identify_parts",
    "identify_pictures",
    "identify_weights",
    "load",
    "load_parts",
    "main",
    "parse",
    "run",
    "run_seeds",
    "show",
]


def parse(arguments: Sequence[str]) -> RunConfig:
    """Reads the command line and checks it.

    Raises:
        UserError: a flag or its value is wrong.
        SystemExit: ``--help`` was asked for and has been shown.
    """
    config = flags.parse(RunConfig, arguments, "python -m dg_jax.run")
    check(config)
    return config


def run(
    config: RunConfig,
    data: "dataset.MultiDomainDataset | None" = None,
    network: "tuple[chex.ArrayTree, functional.ApplyFn] | None" = None,
    *,
    hooks: "Sequence[drive.Hook]" = (),
    quiet: bool = False,
) -> dict:
    """Does one run, unless it is done already, and returns what its ``result.json`` holds.

    Args:
        config: what to do, such as :func:`configure` returns.
        data: what :func:`load` returns for it, if that is loaded already.
        network: what :func:`create_network` returns for it, if that is created already; its parameters are used up.
        hooks: see :class:`dg_jax.training.drive.Hook`.
        quiet: show no progress.

    Raises:
        UserError: an error that the user can fix; no half-written file is left.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was left.

    Example:
        >>> from dg_jax.run import configure, run
        >>> config = configure(dataset="emoji", strategy="agr_sum", iterations=20)
        >>> run(config)["test_images"]  # doctest: +SKIP
        246
    """
    # These imports are slow, and --help or a mistyped flag need not wait for them.
    from dg_jax.training import backend, devices, loop, processes, run_folder, run_result, tensorboard

    devices.make_of_cpu(config)
    processes.begin(config)
    backend.keep_compiled_programs()
    if data is None:
        check(config)
    if config.output.log == "tensorboard":
        packages.check_installed("--log=tensorboard", "tensorboard")
    with processes.ending_with_the_others(), processes.results_dir(config) as config:
        with processes.together():
            processes.check_same(config)
        folder = run_folder.folder_of(config)
        config = run_folder.settled(config, folder)

        def inputs() -> dict[str, str]:
            return identify(config) if data is None else {**data.inputs, **identify_weights(config)}

        with processes.together():
            finished = run_result.finished(config, folder, inputs)
        finished = processes.of_first(finished)
        quiet = quiet or not processes.is_first()
        if finished is not None:
            if not quiet:
                done = errors.printable(f"done already: {folder.result_file}")
                print(f"{done} (--overwrite does it again)", file=sys.stderr)
            return finished
        with processes.together():
            layout = devices.of_run(config)
            of_weights = identify_weights(config)  # before the data is opened, which may take long
            loaded = data or load(config)
            params, apply_fn = network or create_network(config, loaded)
        backend.keep_memory(params)
        warn_of_slow_start(config)
        loaded = dataclasses.replace(loaded, inputs={**loaded.inputs, **of_weights})
        with contextlib.ExitStack() as until_end:
            with processes.together():
                until_end.enter_context(
                    run_folder.open_folder(config, folder, loaded.inputs, loaded.classes, loaded.example)
                )
            logs = until_end.enter_context(tensorboard.of_run(config, folder))
            hooks = [*hooks, *logs]
            result = loop.train(
                config, loaded, params, apply_fn, folder, hooks=hooks, show_progress=not quiet, layout=layout
            )
        return processes.of_first(result)


def run_seeds(
    configs: Sequence[RunConfig],
    data: "Sequence[dataset.MultiDomainDataset]",
    networks: "Sequence[tuple[chex.ArrayTree, functional.ApplyFn]]",
    compiled: dict | None = None,
) -> list[dict]:
    """Does runs side by side in one program, and returns their results.

    Args:
        configs: their configurations, which differ in seeds, rates and domains only.
        data: what :func:`load` returns for each, with what :func:`identify_weights` returns among its inputs.
        networks: what :func:`create_network` returns for each.
        compiled: for several groups of runs, see :func:`dg_jax.training.seeds.train`.

    Raises:
        UserError: as for :func:`run`, or the runs do not fit into one program.
        Interrupted: SIGINT or SIGTERM came; nothing is left of the runs.
    """
    from dg_jax.training import backend, seeds

    backend.keep_compiled_programs()
    return seeds.train(configs, data, networks, compiled)


def load(config: RunConfig) -> "dataset.MultiDomainDataset":
    """Opens the parts of its dataset that a run uses.

    Args:
        config: a configuration that :func:`dg_jax.config.check` accepts.

    Raises:
        UserError: the dataset cannot be opened, or a source has fewer images than a batch.
    """
    data = load_parts(config, _parts(config.data, config.target))
    check_batch_size(config, data)
    return data


def load_parts(config: RunConfig, parts: dict[str, tuple[str, ...]]) -> "dataset.MultiDomainDataset":
    """Opens other parts of a run's dataset than :func:`load` does, by domain.

    Raises:
        UserError: the dataset cannot be opened.
    """
    from dg_jax.data import prepared, registry

    pictures = config.data.of_seed(config.seed)
    assert pictures.split_seed is not None
    if (spec := registry.get(pictures.dataset)).is_computed:
        made_from = {"data_dir": pictures.data_dir} if spec.takes_data_dir else {}
        computed: dataset.MultiDomainDataset = registry.builder_of(pictures.dataset)(
            parts, pictures.split_seed, **made_from
        )
        return computed
    return prepared.load(
        pictures.dataset,
        parts,
        image_size=pictures.image_size,
        split_seed=pictures.split_seed,
        data_dir=pictures.data_dir,
        prepared_dir=pictures.prepared_dir,
        splits_dir=pictures.splits_dir,
        domains=pictures.domains,
        skip_damaged=pictures.skip_damaged,
        classes_may_be_missing=pictures.missing_classes == "allow",
    )


def identify(config: RunConfig) -> dict[str, str]:
    """Identifies the inputs that a run reads from paths by their contents, without opening the dataset.

    Args:
        config: a configuration that :func:`dg_jax.config.check` accepts.

    Returns:
        Name of the input -> SHA-256, see :func:`dg_jax.data.prepared.identify`; with ``"weights"`` if there are any.

    Raises:
        UserError: it cannot be read.
    """
    return {**identify_pictures(config.data, config.target), **identify_weights(config)}


def identify_pictures(pictures: Data, target: str) -> dict[str, str]:
    """Returns the part of :func:`identify` about the pictures and their split lists."""
    return identify_parts(pictures, _parts(pictures, target))


def identify_parts(pictures: Data, parts: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Identifies the pictures that :func:`load_parts` opens."""
    from dg_jax.data import prepared, registry

    if (spec := registry.get(pictures.dataset)).is_computed:
        return registry.module_of(pictures.dataset).identify(pictures.data_dir) if spec.takes_data_dir else {}
    return prepared.identify(
        pictures.dataset,
        parts,
        data_dir=pictures.data_dir,
        prepared_dir=pictures.prepared_dir,
        splits_dir=pictures.splits_dir,
        domains=pictures.domains,
        classes_may_be_missing=pictures.missing_classes == "allow",
    )


def identify_weights(config: RunConfig) -> dict[str, str]:
    """Returns the part of :func:`identify` about the weights, ``{}`` if there are none."""
    from dg_jax.models import weights

    file = _weights_file(config)
    if config.network.weights == IMAGENET:
        from dg_jax.models import packaged

        return {"weights": packaged.SOURCES[config.network.model].sha256}  # of the file in the package
    return {"weights": weights.identify(file)} if file else {}


def _weights_file(config: RunConfig) -> pathlib.Path | None:
    """Returns the file of a run's weights, ``None`` if there are none; for those of a package it is made first."""
    from dg_jax.models import packaged

    return packaged.file_of(config.network.model) if config.network.weights == IMAGENET else config.weights_file


def _parts(pictures: Data, target: str) -> dict[str, tuple[str, ...]]:
    """Returns the parts of each domain that a run reads."""
    return {domain: ("test",) if domain == target else ("train", "validation") for domain in pictures.domains}


def check_batch_size(config: RunConfig, data: "dataset.MultiDomainDataset") -> None:
    """Raises a ``UserError`` if a source of a dataset has too few training images for a step."""
    for domain in config.sources:
        size = len(data.domains[domain]["train"].label)
        batch_size = config.optimisation.batch_size
        at_once = len(config.sources) if config.method.batches == "single_domain" else 1
        if size == 0:
            raise errors.UserError(f"{domain}: no picture is in its training part; add pictures")
        if at_once * batch_size > size and config.optimisation.small_sources == "refuse":
            times = f" times {at_once} (--batches=single_domain)" if at_once > 1 else ""
            raise errors.UserError(
                f"--batch-size={batch_size}{times} is larger than the training part of {domain}, {size} images; "
                "give a smaller one, or --small-sources=repeat to draw some of them more than once in a step"
            )


def create_network(
    config: RunConfig, data: "dataset.MultiDomainDataset"
) -> "tuple[chex.ArrayTree, functional.ApplyFn]":
    """Builds a run's network with its initial parameters, see :func:`dg_jax.models.create`.

    Raises:
        UserError: the images are too small, or the weights file cannot be read, is another
            network's, or has seen pictures that this run validates or tests on.
    """
    from dg_jax import models
    from dg_jax.training import keys

    models.check(config.network.model, config.data.image_size)
    key = keys.key_for(config.seed, keys.Purpose.WEIGHTS)
    network = models.create(
        config.network.model,
        len(data.classes),
        key,
        _weights_file(config),
        config.network.dtype,
        data.example["shape"],
        config.network.weights_scope,
        config.network.hidden_layers,
        config.network.frozen_layers,
    )
    check_unseen(config)
    return network


def check_unseen(config: RunConfig) -> None:
    """Raises a ``UserError`` if the weights were pretrained on the training part of another split, or on the target."""
    from dg_jax.models import weights

    if config.weights_file is None or config.network.weights == IMAGENET:
        return
    metadata = weights.metadata(config.weights_file)
    if metadata.get("dataset") != config.data.dataset:
        return  # pretrained on other pictures, or unknown ones
    seed = "seed" if config.data.split_seed is None else "split-seed"
    split = {seed: str(config.data.of_seed(config.seed).split_seed), "domains": " ".join(sorted(config.data.domains))}
    theirs = {seed: metadata["split_seed"], "domains": metadata["split_domains"]}
    for name, ours in split.items():
        if theirs[name] != ours:
            raise errors.UserError(
                f"{config.weights_file} is pretrained on the training part of another split, with --{name} "
                f"{theirs[name]} and not {ours}, and has seen what this run validates or tests on; "
                "give weights of its own split ({seed} in the path of --weights stands for the seed)"
            )
    if config.target in metadata["pretrained_on"].split():
        raise errors.UserError(
            f"{config.weights_file} is pretrained on {metadata['pretrained_on']}, so --target={config.target} "
            "is a domain that it has seen; give another target or other weights"
        )


def show(config: RunConfig, result: dict) -> None:
    """Prints a run's result on stdout: its accuracies and those of guessing, its folder, and what to do next."""
    from dg_jax.data import registry
    from dg_jax.training import run_folder

    spec = registry.get(config.data.dataset)
    examples = "points" if spec.is_computed and spec.image_size is None else "pictures"
    other_combiner = result["combiner"] != strategies.get(result["strategy"]).combiner
    method = result["strategy"] + (f" with {result['combiner']}" if other_combiner else "")
    sources, target = _plain(", ".join(result["sources"])), _plain(result["target"])
    counts = [sum(row) for row in result["confusion"]]
    rows = table.Table(title=f"{method} on {result['dataset']}, target {target}")
    rows.add_column("")
    rows.add_column("accuracy", justify="right")
    rows.add_row(f"validation ({sources}), step {result['selected_step']}", _percent(result["val_accuracy"]))
    rows.add_row(f"test ({target}, {sum(counts)} {examples}), selected parameters", _percent(result["test_accuracy"]))
    rows.add_row(f"test ({target}), last parameters", _percent(result["test_accuracy_last"]))
    rows.add_row(f"guessing one of {len(counts)} classes", _percent(1 / len(counts)))
    largest = _plain(result["classes"][counts.index(max(counts))])
    rows.add_row(f"always the largest class of the test, {largest}", _percent(max(counts) / sum(counts)))
    screen = console.Console()
    screen.print(rows)
    folder = shlex.quote(errors.printable(str(run_folder.folder_of(config).path)))
    lines = (
        f"written to  {folder}",
        *([f"predict     python -m dg_jax.predict {folder} PICTURE..."] if examples == "pictures" else []),
        f"the table   python -m experiments.table1 {shlex.join(flags_of_a_sweep(config))}",
    )
    for line in lines:
        print(line)


def _plain(name: str) -> str:
    """Returns a name in a form that rich shows unchanged: a folder may be called ``[red]``."""
    return markup.escape(errors.printable(name))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""

    def program_(given: Sequence[str]) -> None:
        config = parse(given)
        result = run(config)
        from dg_jax.training import processes

        if processes.is_first():
            show(config, result)

    return program.main(program_, "--resume goes on from there", arguments)


if __name__ == "__main__":
    sys.exit(main())
