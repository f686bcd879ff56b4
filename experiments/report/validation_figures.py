"""Validation accuracy over training."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dg_jax.analysis import figures

# isort: split
from matplotlib import lines  # after figures, which says what to do where it is missing

# Hues of Okabe and Ito's, so light or dark that a line has a contrast of 3 : 1 to a white page and to a black one.
COLOURS = ("#7a7a7a", "#b87500", "#2b8cc4", "#8a8300", "#3f73c8", "#d55e00", "#b8609a", "#96633f")
_STYLES = ("-", "--", ":", "-.")
_PANELS_IN_A_ROW = 2
_WIDTH = 10.0  # inches


class Curve(NamedTuple):
    """Validation accuracy of R runs at the same T steps.

    Attributes:
        steps: integers ``[T]``.
        accuracies: fractions in [0, 1], ``[R, T]``.
    """

    steps: np.ndarray
    accuracies: np.ndarray


def curves(panels: Mapping[str, Mapping[str, Curve]], methods: Sequence[str]) -> figures.Figure:
    """Draws a panel for each target and in it a line for each method, the mean over runs.

    Args:
        panels: target -> method -> its curve.
        methods: which of them, in order.

    Returns:
        A matplotlib ``Figure``.
    """
    rows = -(-len(panels) // _PANELS_IN_A_ROW)
    figure = figures.Figure(figsize=(_WIDTH, 0.7 + 2.9 * rows), layout="constrained")
    all_axes = figure.subplots(rows, _PANELS_IN_A_ROW, sharex=True, sharey=True, squeeze=False)
    looks: dict[str, dict[str, Any]] = {
        method: {"color": COLOURS[i % len(COLOURS)], "linestyle": _STYLES[(i + i // len(COLOURS)) % len(_STYLES)]}
        for i, method in enumerate(methods)
    }
    for axes, (target, of_target) in zip(all_axes.flat, panels.items(), strict=False):
        for method in methods:
            if method in of_target:
                curve = of_target[method]
                axes.plot(curve.steps, 100 * curve.accuracies.mean(axis=0), linewidth=1.6, **looks[method])
        axes.set_title(target, fontsize=10)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("step")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("accuracy in %")
    for axes in all_axes.flat[len(panels) :]:
        axes.remove()
    handles = [lines.Line2D([], [], linewidth=1.6, label=method, **look) for method, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False, handlelength=3)
    return figure
