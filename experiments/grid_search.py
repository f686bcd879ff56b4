"""Learning rate x weight decay, chosen by the sources' validation accuracy; the target is not looked at.

    python -m experiments.grid_search --dataset=emoji --strategies agr_sum --targets windows --seeds=3

Writes STRATEGY.md, STRATEGY.png and STRATEGY.pdf to RESULTS_DIR/grid_search/DATASET and the runs below it.
"""

import dataclasses
import statistics
import sys
from collections.abc import Sequence

from dg_jax import command_line, errors
from experiments import sweep


@dataclasses.dataclass(frozen=True)
class GridSearch(sweep.Sweep):
    """Train at each pair of a learning rate and a weight decay."""

    seeds: int = 3
    """How many seeds, from 0."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """Step sizes of Adam to try."""
    weight_decays: tuple[float, ...] = (0.0, 5e-5, 5e-4)
    """Weights of the L2 term to try."""


def search(arguments: Sequence[str]) -> None:
    """Does the runs, prints the tables and the chosen pairs, and writes the files."""
    settings = command_line.parse(GridSearch, arguments, "python -m experiments.grid_search")
    from dg_jax.analysis import grid, result_figures

    for name in ("learning_rates", "weight_decays"):
        if not getattr(settings, name):
            raise errors.UserError(f"--{name.replace('_', '-')}: give at least one number")
    folder = settings.results_dir / "grid_search" / settings.dataset
    cells = {}
    for rate in settings.learning_rates:
        for decay in settings.weight_decays:
            below = folder / f"learning-rate-{grid.number(rate)}-weight-decay-{grid.number(decay)}"
            one = dataclasses.replace(settings, learning_rate=rate, weight_decay=decay, results_dir=below)
            cells[rate, decay] = sweep.configs(one)  # all are checked before the first run
    grids: dict[str, dict[tuple[float, float], float]] = {}
    for pair, configs in cells.items():
        results = sweep.results(configs, vectorize_seeds=settings.vectorize_seeds)
        accuracies = sweep.accuracies(results, "val_accuracy")
        for method in next(iter(accuracies.values())):
            of_method = [accuracy for target in accuracies.values() for accuracy in target[method].values()]
            if of_method:
                grids.setdefault(method, {})[pair] = statistics.fmean(of_method)
    for method, found in grids.items():
        rate, decay = grid.best(found)
        chosen = f"--learning-rate={grid.number(rate)} --weight-decay={grid.number(decay)}"
        markdown = f"{method}: validation accuracy in percent\n\n{grid.to_markdown(found)}\nchosen: {chosen}\n"
        sweep.write(folder, {f"{method}.md": markdown}, {method: result_figures.heat_map(found)})
        print(markdown)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return command_line.main(search, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
