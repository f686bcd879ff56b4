"""Finds the best pair in a grid search over learning rate and weight decay."""

import statistics
from collections.abc import Mapping

import numpy as np

from dg_jax.analysis import markdown, render

# (learning rate, weight decay) -> mean validation accuracy as a fraction; None where a run failed
Grid = Mapping[tuple[float, float], float | None]
FAILED = "failed"


def best(grid: Grid) -> tuple[float, float]:
    """Returns the pair with the highest accuracy; on ties the smaller learning rate, then the smaller weight decay.

    At least one pair must have an accuracy.

    Example:
        >>> best({(1e-3, 0.0): 0.5, (1e-4, 5e-5): 0.6, (1e-4, 0.0): 0.6, (1e-2, 0.0): None})
        (0.0001, 0.0)
    """
    _, pair = min((-accuracy, pair) for pair, accuracy in grid.items() if accuracy is not None)
    return pair


def mean_of_shared(cells: Mapping[tuple[float, float], Mapping[tuple[str, int], float]]) -> tuple[Grid, int]:
    """Averages over the runs that every cell has, so that no cell wins because it lacks a hard target.

    Args:
        cells: (learning rate, weight decay) -> (target, seed) -> validation accuracy.

    Returns:
        The grid, and how many runs are in each cell; an empty grid if no run is in all of them.

    Example:
        >>> mean_of_shared({(0.1, 0.0): {("photo", 0): 0.5, ("sketch", 0): 0.25}, (0.2, 0.0): {("photo", 0): 0.75}})
        ({(0.1, 0.0): 0.5, (0.2, 0.0): 0.75}, 1)
    """
    shared = set.intersection(*(set(runs) for runs in cells.values()))
    if not shared:
        return {}, 0
    return {pair: statistics.fmean(runs[which] for which in shared) for pair, runs in cells.items()}, len(shared)


def axes(grid: Grid) -> tuple[list[float], list[float]]:
    """Returns all learning rates and all weight decays, ascending."""
    return sorted({rate for rate, _ in grid}), sorted({decay for _, decay in grid})


def to_markdown(grid: Grid) -> str:
    """Returns a table with a row for each learning rate and a column for each weight decay, the best in bold."""
    rates, decays = axes(grid)
    chosen = best(grid)

    def cell(pair):
        if pair not in grid:
            return markdown.MISSING
        return f"**{text(grid[pair])}**" if pair == chosen else text(grid[pair])

    header = ["learning rate", *(f"weight decay {number(decay)}" for decay in decays)]
    return markdown.table(header, ([number(rate), *(cell((rate, decay)) for decay in decays)] for rate in rates)) + "\n"


def to_flags(grid: Grid) -> str:
    """Returns the best pair as flags for the command line.

    Example:
        >>> to_flags({(1e-4, 0.0): 0.5, (1e-3, 0.0): 0.6})
        '--learning-rate=1e-3 --weight-decay=0'
    """
    rate, decay = best(grid)
    return f"--learning-rate={number(rate)} --weight-decay={number(decay)}"


def hint(grid: Grid) -> str:
    """Returns a hint if the best learning rate is the largest or smallest one tried, otherwise an empty text.

    Example:
        >>> print(hint({(1e-4, 0.0): 0.5, (1e-3, 0.0): 0.6}))
        1e-3 is the largest learning rate tried; a larger one may do better.
    """
    rate, _ = best(grid)
    rates, _ = axes(grid)
    if rates[0] < rate == rates[-1]:
        return f"{number(rate)} is the largest learning rate tried; a larger one may do better."
    if rate == rates[0] < rates[-1]:
        return f"{number(rate)} is the smallest learning rate tried; a smaller one may do better."
    return ""


def text(accuracy: float | None) -> str:
    """Returns what a cell shows."""
    return FAILED if accuracy is None else render.percent(accuracy)


def number(value: float) -> str:
    """Returns a number in the form in which one types it: ``1e-5``."""
    return np.format_float_scientific(value, trim="-", exp_digits=1) if 0 < value < 0.1 else f"{value:g}"
