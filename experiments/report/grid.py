"""Grid searches over learning rate and weight decay."""

import functools
from collections.abc import Sequence

import markupsafe

from dg_jax.analysis import grid as grids
from dg_jax.analysis import markdown, result_figures
from experiments.report import parts
from experiments.report.stored import Run


def of(dataset: str, runs: Sequence[Run]) -> list[parts.Part]:
    """Returns the parts of the page on a dataset's grid searches, a table and a heat map for each method."""
    cells: dict[str, dict[tuple[float, float], dict[tuple[str, int], float]]] = {}
    for run in sorted(runs, key=lambda run: run.method_place):
        pair = run.config["learning_rate"], run.config["weight_decay"]
        of_pair = cells.setdefault(run.folder_name, {}).setdefault(pair, {})
        of_pair[run.target, run.seed] = run.result["val_accuracy"]
    made: list[parts.Part] = [parts.Heading("Grid search")]
    for method, of_method in cells.items():
        grid, num_runs = grids.mean_of_shared(of_method)
        if grid:
            made += _search(dataset, method, grid, num_runs)
        else:
            made.append(parts.Lines([f"{method}: no target and seed has a result in every cell."]))
    return made


def _search(dataset: str, method: str, grid: grids.Grid, num_runs: int) -> list[parts.Part]:
    rates, decays = grids.axes(grid)
    chosen = grids.best(grid)

    def cell(pair: tuple[float, float]) -> str:
        if pair not in grid:
            return markdown.MISSING
        text = grids.text(grid[pair])
        return markupsafe.Markup("<strong>{}</strong>").format(text) if pair == chosen else text

    return [
        parts.Grid(
            f"{dataset}, {method}: validation accuracy in percent, mean of {num_runs} runs in each cell",
            ["learning rate", *(f"weight decay {grids.number(each)}" for each in decays)],
            [[grids.number(row), *(cell((row, column)) for column in decays)] for row in rates],
        ),
        parts.Pictures(
            [
                parts.picture(
                    functools.partial(result_figures.heat_map, grid),
                    f"{dataset}, {method}: heat map of the validation accuracy by learning rate and weight decay",
                )
            ],
            f"The best is {grids.to_flags(grid)}. {grids.hint(grid)}".rstrip(),
        ),
    ]
