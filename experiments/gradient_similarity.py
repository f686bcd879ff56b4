"""Similarity of gradients within and between domains while Deep-All trains (paper, section 4.3 and Figure 2).

    python -m experiments.gradient_similarity --dataset=emoji --targets windows --seeds=3

At intervals a class is drawn, and images of it from each source. The gradients of single
images, with dropout off, are compared by their cosine, in pairs from one source and in pairs
from two. At the same steps the share of components whose signs agree among the sources is
taken by layer, of the gradients of an ordinary domain batch. What was measured goes to
RESULTS/gradient_similarity/DATASET/TARGET/seed-SEED.json and is not measured again; the
figures go to RESULTS/gradient_similarity/DATASET. Needs the extra ``analysis``.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

import numpy as np
from rich import console, progress

from dg_jax import config, errors, run
from dg_jax.analysis import markdown as names
from dg_jax.command_line import flags, program
from dg_jax.config import RunConfig
from dg_jax.reading import foreign
from experiments import sweep

if TYPE_CHECKING:
    from dg_jax.analysis import figures

# What a measurement depends on.
_SETTINGS = (
    "iterations",
    "batch_size",
    "batches",
    "learning_rate",
    "weight_decay",
    "model",
    "weights",
    "batch_norm",
    "dtype",
    "image_size",
    "split_seed",
    "splits_dir",
    "skip_damaged",
)


# Of what lies there the contents are compared, see `inputs_of`.
_PATHS = ("weights", "splits_dir")

# What reading a damaged file may raise.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError)


@dataclasses.dataclass(frozen=True)
class GradientSimilarity(sweep.Plan):
    """Train Deep-All and measure how similar gradients are within and between domains."""

    rates: Annotated[config.Rates, config.FLAT] = dataclasses.field(default_factory=config.Rates)
    seeds: int = 1
    """How many runs for each target, with seeds from 0."""
    every: int = 20
    """Steps between two measurements."""
    per_domain: int = 16
    """Images of one class from each source in a measurement."""


def parse(arguments: Sequence[str]) -> tuple[GradientSimilarity, list[RunConfig]]:
    """Reads the command line: what to measure, and the runs, target by target.

    Raises:
        UserError: a flag or its value is wrong.
    """
    chosen = flags.parse(GradientSimilarity, arguments, "python -m experiments.gradient_similarity")
    for name, least in (("every", 1), ("per_domain", 2)):
        if getattr(chosen, name) < least:
            raise errors.UserError(
                f"{config.flag(name)}={getattr(chosen, name)}: give a whole number of at least {least}"
            )
    configs = sweep.configs_at(chosen, ["deep_all"], chosen.rates)
    if len(configs[0].sources) < 2:
        raise errors.UserError(
            f"--domains {' '.join(chosen.data.domains)} leaves one source; similarity between domains takes two"
        )
    return chosen, configs


def file_of(run_config: RunConfig) -> pathlib.Path:
    """Returns where a run's measurements are kept."""
    return folder_of(run_config) / run_config.target / f"seed-{run_config.seed}.json"


def folder_of(run_config: RunConfig) -> pathlib.Path:
    """Returns where a dataset's measurements and figures are kept."""
    return run_config.output.results_dir / "gradient_similarity" / run_config.data.dataset


def settings_of(arguments: GradientSimilarity, run_config: RunConfig) -> dict:
    """Returns what the measurements depend on, as JSON stores it."""
    values: dict = {"sources": run_config.sources}
    values |= {name: value for name, value in config.flat(run_config).items() if name in _SETTINGS}
    values |= {"every": arguments.every, "per_domain": arguments.per_domain}
    return json.loads(json.dumps(values, default=str))


def inputs_of(run_config: RunConfig) -> dict[str, str]:
    """Identifies by its contents what the measurements read from paths, see :func:`dg_jax.run.identify`."""
    from dg_jax.data import prepared

    pictures = prepared.identify(run_config.data.dataset, _parts(run_config), **_places(run_config))
    return {**pictures, **run.identify_weights(run_config)}


def _parts(run_config: RunConfig) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(run_config.sources, ("train",))


def _places(run_config: RunConfig) -> dict[str, pathlib.Path | None]:
    return {name: getattr(run_config.data, name) for name in ("data_dir", "prepared_dir", "splits_dir")}


def read(path: pathlib.Path) -> dict:
    """Returns measurements as they are on disk.

    Raises:
        OSError, ValueError, KeyError, TypeError, RecursionError: the file is damaged.
    """
    measured = foreign.parse_json(foreign.text(path))
    if not isinstance(measured["settings"], dict):
        raise TypeError("settings that are no object")
    if not all(isinstance(name, str) for name in measured["settings"].get("sources", ())):
        raise TypeError("a name of a source that is no text")
    json.dumps(measured, ensure_ascii=False).encode()  # a lone surrogate is none either
    _check_shapes(measured)
    return measured


def stored(path: pathlib.Path, settings: dict, identify: Callable[[], dict[str, str]]) -> dict | None:
    """Returns measurements made earlier, or ``None`` if there are none or the file is damaged, which it says on stderr.

    Args:
        path: where they are kept.
        settings: what :func:`settings_of` returns.
        identify: returns what :func:`inputs_of` does.

    Raises:
        UserError: they were made with other settings, or of other inputs.
    """
    from dg_jax.training import compared

    if not path.exists():
        return None
    try:
        measured = read(path)
    except UNREADABLE as error:
        errors.warn(f"{path} is damaged and measured again ({type(error).__name__}: {error})")
        return None
    theirs = measured["settings"]
    different = [name for name in settings if name not in _PATHS and settings[name] != theirs.get(name)]
    if different:
        shown = "; ".join(f"{name} is {settings[name]} here, {theirs.get(name)!s:.200} there" for name in different)
        raise errors.UserError(
            f"{path} was measured with other settings: {shown}; "
            "give the same, another --results-dir, or --overwrite to measure again"
        )
    compared.check_inputs(identify(), measured, path)
    return measured


def _check_shapes(measured: dict) -> None:
    """Raises an error unless T measurements of D domains and L layers are there, all of them finite numbers."""
    layers, steps = measured["layers"], np.array(measured["steps"], float)
    if not layers or not all(isinstance(name, str) for name in layers):
        raise ValueError("no layers")
    for name, rank, last in (("intra", 1, ()), ("inter", 1, ()), ("domains", 3, ()), ("agreement", 2, (len(layers),))):
        values = np.array(measured[name], float)
        if values.ndim != rank or values.shape[:1] != steps.shape or values.shape[rank - len(last) :] != last:
            raise ValueError(f"{name} is {values.shape}, {steps.shape} steps and {len(layers)} layers")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are not finite")


def measure_all(
    arguments: GradientSimilarity, configs: list[RunConfig]
) -> tuple[dict[str, list[dict]], dict[str, str]]:
    """Does the measurements that are not on disk.

    Returns:
        All of them by target, and the reasons of those that failed by the file that they lack.

    Raises:
        UserError: something that the user can mend; files written before stay.
    """
    found = [
        None
        if one.output.overwrite
        else stored(file_of(one), settings_of(arguments, one), functools.partial(inputs_of, one))
        for one in configs
    ]
    results: dict[str, list[dict]] = {}
    failed: dict[str, str] = {}
    missing = [one for one, earlier in zip(configs, found, strict=True) if earlier is None]
    do = functools.partial(_measure, arguments=arguments)
    terminal = console.Console(stderr=True)
    with progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=terminal,
        disable=not terminal.is_terminal,
    ) as bar:
        task = bar.add_task("", total=len(missing) * configs[0].optimisation.iterations)

        def report(one: RunConfig, steps: int = 1) -> None:
            bar.update(task, advance=steps, description=errors.printable(f"target {one.target}, seed {one.seed}"))

        outcomes: Iterable[sweep.Outcome]
        if arguments.executor == "ray":
            from experiments import ray_executor

            # Not to overwrite: of the folders of runs, which Ray would empty, measurements have none.
            batches = [[config.changed(one, overwrite=False)] for one in missing]
            outcomes = ray_executor.outcomes(do, batches)
        else:
            outcomes = do(missing, report=report)
        measured: dict[pathlib.Path, dict] = {}
        for [one], outcome in outcomes:
            if arguments.executor == "ray":
                report(one, one.optimisation.iterations)
            if isinstance(outcome, str):
                failed[str(file_of(one))] = outcome
            else:
                [measured[file_of(one)]] = outcome
    for one, earlier in zip(configs, found, strict=True):
        if earlier is None:
            earlier = measured.get(file_of(one))
        if earlier is not None:
            results.setdefault(one.target, []).append(earlier)
    return results, failed


def _measure(
    missing: list[RunConfig],
    *,
    arguments: GradientSimilarity,
    report: Callable[[RunConfig], None] = lambda one: None,
) -> Iterator[sweep.Outcome]:
    """Does measurements one after the other, writes each and yields it; ``report`` is called after each step."""
    # These imports take seconds, which --help and a mistyped flag need not wait for.
    from dg_jax.data import prepared
    from dg_jax.training import backend, files
    from experiments import measured_training

    backend.keep_compiled_programs()
    probe = None
    for one in missing:
        data = prepared.load(
            one.data.dataset,
            _parts(one),
            image_size=one.data.image_size,
            split_seed=one.data.of_seed(one.seed).split_seed or 0,
            skip_damaged=one.data.skip_damaged,
            **_places(one),
        )
        run.check_batch_size(one, data)
        measured_training.check_classes(data)
        params, apply_fn = run.create_network(one, data)
        inputs = {**data.inputs, **run.identify_weights(one)}
        probe = probe or measured_training.Probe(apply_fn)
        try:
            measured = measured_training.train(
                one,
                data,
                params,
                apply_fn,
                probe,
                every=arguments.every,
                per_domain=arguments.per_domain,
                report=lambda done: report(one),  # noqa: B023
            )
        except errors.RunError as error:
            yield [one], str(error)
            continue
        measured = {"settings": settings_of(arguments, one), "inputs": inputs} | measured
        path = file_of(one)
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_by_rename(path, json.dumps(measured) + "\n")
        yield [one], [measured]


HEADER = ("target", "seeds", "intra, all steps", "inter, all steps", "intra, last", "inter, last", "intra > inter")


def summary(results: dict[str, list[dict]]) -> list[list[str]]:
    """Returns a row for each target with what :data:`HEADER` names: mean cosines over all measurements and at the last.

    Deviations are over measurements (all steps) or over seeds (the last step).
    """

    def mean_and_deviation(values: np.ndarray) -> str:
        deviation = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
        return f"{values.mean():.3f}{deviation}"

    rows = []
    for target, runs in results.items():
        intra, inter = (np.array([one[name] for one in runs]) for name in ("intra", "inter"))
        figures = [mean_and_deviation(values) for values in (intra, inter, intra[:, -1], inter[:, -1])]
        share = f"{(intra > inter).sum()} of {intra.size}"
        rows.append([target, str(len(runs)), *figures, share])
    return rows


def markdown(results: dict[str, list[dict]]) -> str:
    """Formats the summary as a table."""
    rule = ["---"] * len(HEADER)
    rows = [[names.escape(target), *cells] for target, *cells in summary(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, rule, *rows))


def draw_similarity(results: dict[str, list[dict]], panels_in_a_row: int = 4) -> "figures.Figure":
    """Draws Figure 2, a panel for each target."""
    from dg_jax.analysis import similarity_figures

    panels = {
        f"sources {', '.join(runs[0]['settings']['sources'])}": similarity_figures.Curves(
            *(np.array(values) for values in (runs[0]["steps"], [r["intra"] for r in runs], [r["inter"] for r in runs]))
        )
        for runs in results.values()
    }
    return similarity_figures.curves(panels, panels_in_a_row)


def draw_agreement(runs: list[dict]) -> "figures.Figure":
    """Draws the heat map of agreement of one target's runs."""
    from dg_jax.analysis import similarity_figures

    return similarity_figures.heat_map(
        np.array(runs[0]["steps"]),
        runs[0]["layers"],
        np.mean([one["agreement"] for one in runs], axis=0),
        f"agreement of {', '.join(runs[0]['settings']['sources'])}",
    )


def draw(results: dict[str, list[dict]], folder: pathlib.Path) -> None:
    """Writes all figures as PNG and PDF."""
    from dg_jax.analysis import figures

    drawn = {"similarity": draw_similarity(results)}
    drawn |= {f"agreement-{target}": draw_agreement(runs) for target, runs in results.items()}
    for name, figure in drawn.items():
        for ending in ("png", "pdf"):
            figures.save(figure, folder / f"{name}.{ending}")


def make(arguments: Sequence[str]) -> None:
    """Measures what is missing, draws the figures and prints the table."""
    chosen, configs = parse(arguments)
    from dg_jax.analysis import figures  # noqa: F401 (says so now if matplotlib is missing, not after training)

    results, failed = measure_all(chosen, configs)
    if results:
        draw(results, folder_of(configs[0]))
        print(markdown(results))
        print(f"figures in {folder_of(configs[0])}", file=sys.stderr)
    if failed:
        raise errors.RunsFailedError(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, see :func:`dg_jax.command_line.program.main`."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
