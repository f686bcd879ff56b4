"""Validation accuracy over training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dg_jax.analysis import colours, figures


class Curve(NamedTuple):
    """Validation accuracy of R runs at the same T steps.

    Attributes:
        steps: integers ``[T]``.
        accuracies: fractions in [0, 1], ``[R, T]``.
    """

    steps: np.ndarray
    accuracies: np.ndarray


def curves(target: str, of_target: Mapping[str, Curve], methods: Sequence[str]) -> figures.Figure:
    """Draws a line for each method, the mean over runs.

    Args:
        target: its name.
        of_target: method -> its curve.
        methods: which of them, in order.

    Returns:
        A matplotlib ``Figure``.
    """
    figure = figures.Figure(figsize=(5.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for method in methods:
        if method in of_target:
            curve, look = of_target[method], colours.look(method)
            percent = 100 * curve.accuracies.mean(axis=0)
            axes.plot(curve.steps, percent, label=method, linewidth=1.6, color=look.line, linestyle=look.dashes)
    axes.set_title(target, fontsize=10)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set(xlabel="step", ylabel="accuracy in %")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, handlelength=3)
    return figure
