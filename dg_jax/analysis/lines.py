"""Lines with error bars, one for each method."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dg_jax.analysis import figures

# Okabe and Ito's colours that are dark enough for lines, black for the first method, mostly the baseline.
_COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5539")
_MARKERS = "os^Dv<>P"


def line(axes, points: Mapping[float, Sequence[float]], method: str, number: int) -> None:
    """Draws fractions in percent: means over the values of each point, with error bars where there are several.

    A method without points is drawn too, for the legend.
    """
    style: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
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
        **style,
    )


def legend(figure: figures.Figure, axes) -> None:
    """Draws one legend of all lines above the panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
