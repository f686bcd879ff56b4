"""Similarity of gradients within and between domains while Deep-All trains (paper, section 4.3 and Figure 2).

    python -m experiments.gradient_similarity --dataset=emoji --targets windows --seeds=3

At intervals a class is drawn, and images of it from each source. The gradients of single
images, with dropout off, are compared by their cosine: in pairs from one source, and in pairs
from two. At the same steps, the gradients of an ordinary domain batch give for each layer the
share of components whose signs agree among the sources. The measurements go to
RESULTS_DIR/gradient_similarity/DATASET/TARGET/seed-SEED.json and are not done again. The
figures go to RESULTS_DIR/gradient_similarity/DATASET. Needs the extra ``analysis``.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import config, errors, run
from dg_jax.command_line import flags, program
from dg_jax.config import RunConfig
from dg_jax.data import progress_bar
from experiments import local_executor, sweep
from experiments.gradient_similarity import stored


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
    if chosen.method.average != "none":
        raise errors.UserError(
            f"--average={chosen.method.average} would change nothing: gradients are measured at the parameters that "
            "are trained, and nothing is selected; leave it out"
        )
    configs = sweep.configs_at(chosen, ["deep_all"], chosen.rates)
    if len(configs[0].sources) < 2:
        raise errors.UserError(
            f"--domains {' '.join(chosen.data.domains)} leaves one source; similarity between domains needs two"
        )
    return chosen, configs


def measure_all(
    arguments: GradientSimilarity, configs: list[RunConfig]
) -> tuple[dict[str, list[dict]], dict[str, str]]:
    """Does the measurements that are not on disk.

    Returns:
        All measurements by target; and for those that failed, the missing file -> the reason.

    Raises:
        UserError: an error that the user can fix; files written before stay.
    """
    found = [None if one.output.overwrite else _earlier(arguments, one) for one in configs]
    results: dict[str, list[dict]] = {}
    failed: dict[str, str] = {}
    missing = [one for one, earlier in zip(configs, found, strict=True) if earlier is None]
    do = functools.partial(_measure, arguments=arguments)
    with progress_bar.ProgressBar("steps", len(missing) * configs[0].optimisation.iterations) as bar:

        def report(one: RunConfig, steps: int = 1) -> None:
            bar.advance(steps, f"target {one.target}, seed {one.seed}")

        outcomes: Iterable[local_executor.Outcome]
        if arguments.executor == "ray":
            from experiments import ray_executor

            # Without overwrite: Ray would empty the folders of runs, which are not those of measurements.
            batches = [[config.changed(one, overwrite=False)] for one in missing]
            outcomes = ray_executor.outcomes(do, batches)
        else:
            outcomes = do(missing, report=report)
        measured: dict[pathlib.Path, dict] = {}
        for [one], outcome in outcomes:
            if arguments.executor == "ray":
                report(one, one.optimisation.iterations)
            if isinstance(outcome, str):
                failed[str(stored.file_of(one))] = outcome
            else:
                [measured[stored.file_of(one)]] = outcome
    for one, earlier in zip(configs, found, strict=True):
        if earlier is None:
            earlier = measured.get(stored.file_of(one))
        if earlier is not None:
            results.setdefault(one.target, []).append(earlier)
    return results, failed


def _earlier(arguments: GradientSimilarity, one: RunConfig) -> dict | None:
    """Returns a measurement that is on disk, or ``None``."""
    settings = stored.settings_of(one, arguments.every, arguments.per_domain)
    return stored.of_run(stored.file_of(one), settings, functools.partial(stored.inputs_of, one))


def _measure(
    missing: list[RunConfig],
    *,
    arguments: GradientSimilarity,
    report: Callable[[RunConfig], None] = lambda one: None,
) -> Iterator[local_executor.Outcome]:
    """Does measurements one after the other, writes each and yields it; ``report`` is called after each step."""
    # These imports are slow: --help and a mistyped flag need not wait for them.
    from dg_jax.training import backend, files
    from experiments.gradient_similarity import training

    backend.keep_compiled_programs()
    probes: dict[pathlib.Path | None, training.Probe] = {}  # by the file of the BatchNorm statistics, which they hold
    for one in missing:
        data = run.load_parts(one, stored.parts_of(one))
        run.check_batch_size(one, data)
        training.check_classes(data)
        params, apply_fn = run.create_network(one, data)
        inputs = {**data.inputs, **run.identify_weights(one)}
        statistics = one.weights_file if one.network.model in config.OF_BATCH_NORM else None
        if statistics not in probes:
            probes = {statistics: training.Probe(apply_fn, one.network.frozen_layers)}
        try:
            measured = training.train(
                one,
                data,
                params,
                apply_fn,
                probes[statistics],
                every=arguments.every,
                per_domain=arguments.per_domain,
                report=lambda done: report(one),  # noqa: B023
            )
        except errors.RunError as error:
            yield [one], str(error)
            continue
        measured = {
            "settings": stored.settings_of(one, arguments.every, arguments.per_domain),
            "inputs": inputs,
        } | measured
        path = stored.file_of(one)
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_by_rename(path, json.dumps(measured) + "\n")
        yield [one], [measured]


def make(arguments: Sequence[str]) -> None:
    """Measures what is missing, draws the figures and prints the table."""
    chosen, configs = parse(arguments)
    from experiments.gradient_similarity import drawing  # fails now if matplotlib is missing, not after training

    results, failed = measure_all(chosen, configs)
    if results:
        drawing.draw(results, stored.folder_of(configs[0]))
        print(drawing.to_markdown(results))
        print(f"figures in {stored.folder_of(configs[0])}", file=sys.stderr)
    if failed:
        raise errors.SomeFailedError(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, see :func:`dg_jax.command_line.program.main`."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
