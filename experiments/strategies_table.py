"""Every strategy on one target: accuracy over seeds.

    python -m experiments.strategies_table --seeds=5

Runs that are on disk already are not done again. Prints a Markdown table.
"""

import dataclasses
import logging
import pathlib
import statistics
import sys

import tyro

from dg_jax import config, errors, run, settings, strategies
from dg_jax.training import interrupt


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Trains every strategy with several seeds on emoji and prints a table.

    All else is as in dg_jax.run by default, but that IRM's penalty sets in after half of the
    steps, as it does in the paper (500 of 1000).
    """

    strategies: tuple[str, ...] = tuple(strategies.STRATEGIES)
    """Which strategies."""
    target: str = "windows"
    """The domain held out."""
    seeds: int = 3
    """How many seeds, from 0."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept."""
    results_dir: pathlib.Path = pathlib.Path("results")
    """Where runs are written and looked for."""


def configure(sweep: Sweep, strategy: str, seed: int) -> config.RunConfig:
    """Returns the configuration of one run of the sweep."""
    shared = config.defaults("emoji")
    irm = settings.Irm(anneal_steps=shared.iterations // 2) if strategy == "irm" else shared.irm
    return dataclasses.replace(
        shared,
        strategy=strategy,
        target=sweep.target,
        seed=seed,
        irm=irm,
        prepared_dir=sweep.prepared_dir,
        results_dir=sweep.results_dir,
        resume=True,
    )


def markdown(results: dict[str, list[dict]]) -> str:
    """Formats accuracies in percent, mean ± standard deviation over seeds."""

    def percent(runs, name):
        values = [100 * result[name] for result in runs]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return f"{statistics.mean(values):.1f} ± {deviation:.1f}"

    lines = [
        "| strategy | seeds | validation | test, selected | test, last |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {strategy} | {len(runs)} | {percent(runs, 'val_accuracy')} | {percent(runs, 'test_accuracy')} "
        f"| {percent(runs, 'test_accuracy_last')} |"
        for strategy, runs in results.items()
    ]
    return "\n".join(lines)


def main() -> int:
    logging.getLogger("absl").setLevel(logging.ERROR)
    sweep = tyro.cli(Sweep)
    results: dict[str, list[dict]] = {strategy: [] for strategy in sweep.strategies}
    try:
        if sweep.seeds < 1:
            raise errors.UserError(f"--seeds={sweep.seeds}: give a whole number of at least 1")
        for seed in range(sweep.seeds):
            for strategy in sweep.strategies:
                settings_of_run = configure(sweep, strategy, seed)
                config.check(settings_of_run)
                results[strategy].append(run.run(settings_of_run))
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except interrupt.Interrupted as stopped:
        print(f"{stopped}; the same command goes on from there", file=sys.stderr)
        return 128 + stopped.signal_number
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
