"""Figures 3 and 4, and the heat map of a grid search."""

from collections.abc import Sequence

from dg_jax.analysis import figures
from dg_jax.analysis import grid as grids
from dg_jax.analysis import table as tables


def box_plots(table: tables.Table) -> figures.Figure:
    """Draws Figure 3: for each target a box for each method, over seeds.

    The box reaches from the lower to the upper quartile, the whiskers from minimum to maximum,
    the line is the median, the green triangle the mean; an asterisk stands above methods that differ
    from the baseline with p < 0.05.
    """
    raise NotImplementedError


def bars(
    multi_domain: tables.Accuracies, single_domain: tables.Accuracies, methods: Sequence[str], targets: Sequence[str]
) -> figures.Figure:
    """Draws Figure 4: mean accuracy with multi-domain batches (white) beside single-domain ones (grey).

    Error bars are one standard deviation over seeds.
    """
    raise NotImplementedError


def heat_map(grid: grids.Grid) -> figures.Figure:
    """Draws a grid search with the accuracy in each cell and a frame round the best.

    Args:
        grid: (learning rate, weight decay) -> mean validation accuracy as a fraction.
    """
    raise NotImplementedError
