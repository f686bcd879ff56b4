"""Learning rate x weight decay, chosen by the sources' validation accuracy; the target is not used.

    python -m experiments.grid_search --dataset=emoji --strategies agr_sum --targets windows --seeds=3

Writes STRATEGY.md, STRATEGY.png and STRATEGY.pdf to RESULTS_DIR/grid_search/DATASET and the runs below it.
"""

import dataclasses
import itertools
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import config, errors
from dg_jax.command_line import flags, program
from experiments import sweep


@dataclasses.dataclass(frozen=True)
class GridSearch(sweep.Comparison):
    """Train at each pair of a learning rate and a weight decay."""

    seeds: int = 3
    """How many seeds, from 0."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """Step sizes of Adam to try."""
    weight_decays: tuple[float, ...] = (0.0, 5e-5, 5e-4)
    """Weights of the L2 term to try."""


def search(arguments: Sequence[str]) -> None:
    """Does the runs, prints the tables and the chosen pairs, and writes the files."""
    settings = flags.parse(GridSearch, arguments, "python -m experiments.grid_search")
    from dg_jax.analysis import grid, result_figures

    for name in ("learning_rates", "weight_decays"):
        if not getattr(settings, name):
            raise errors.UserError(f"--{name.replace('_', '-')}: give at least one number")
    folder = settings.output.results_dir / "grid_search" / settings.data.dataset
    cells = {}
    for rate in settings.learning_rates:
        for decay in settings.weight_decays:
            below = folder / f"learning-rate-{grid.number(rate)}-weight-decay-{grid.number(decay)}"
            cells[rate, decay] = sweep.configs_at(  # all are checked before the first run
                config.changed(settings, results_dir=below),
                settings.strategies,
                config.Rates(rate, decay),
                vectorize_seeds=settings.vectorize_seeds,
            )
    results = sweep.results(
        [*itertools.chain(*cells.values())], vectorize_seeds=settings.vectorize_seeds, executor=settings.executor
    )
    failed = {
        (pair, sweep.method_of(one)) for pair, configs in cells.items() for one in configs if one in results.failed
    }
    accuracies = {pair: sweep.accuracies(configs, results, "val_accuracy") for pair, configs in cells.items()}
    for method in next(iter(next(iter(accuracies.values())).values())):
        of_cells = {
            pair: {(target, seed): accuracy for target in of_pair for seed, accuracy in of_pair[target][method].items()}
            for pair, of_pair in accuracies.items()
            if (pair, method) not in failed
        }
        if not of_cells:
            continue
        means, num_runs = grid.mean_of_shared(of_cells)
        if not means:
            raise errors.UserError(f"{method}: no target and seed has a result in every cell of {folder}")
        found = {pair: means.get(pair) for pair in cells}
        title = f"{method}: validation accuracy in percent, mean of {num_runs} runs in each cell"
        markdown = f"{title}\n\n{grid.to_markdown(found)}\nchosen: {grid.to_flags(found)}\n{grid.hint(found)}\n"
        sweep.write(folder, {f"{method}.md": markdown}, {method: result_figures.heat_map(found)})
        print(markdown)
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, see :func:`dg_jax.command_line.program.main`."""
    return program.main(search, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
