"""Draws lines with error bars, one for each method."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from dg_jax.analysis import colours, figures


def line(axes, points: Mapping[float, Sequence[float]], method: str) -> None:
    """Draws fractions in percent: means over the values of each point, with error bars where there are several.

    A method without points is drawn too, for the legend.
    """
    look = colours.look(method)
    percent = [100 * np.array(values) for values in points.values()]
    axes.errorbar(
        list(points),
        [values.mean() for values in percent],
        yerr=[values.std(ddof=1) if len(values) > 1 else 0 for values in percent],
        label=method,
        lw=1.3,
        markersize=4,
        elinewidth=0.8,
        capsize=2,
        color=look.line,
        marker=look.marker,
        linestyle=look.dashes,
    )


def legend(figure: figures.Figure, axes) -> None:
    """Draws one legend of all lines above the panels, in as many rows as the width asks for."""
    handles, labels = axes.get_legend_handles_labels()
    for rows in range(1, len(labels) + 1):
        columns = math.ceil(len(labels) / rows)
        drawn = figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
        if drawn.get_window_extent().width <= figure.bbox.width or columns == 1:
            return
        drawn.remove()
