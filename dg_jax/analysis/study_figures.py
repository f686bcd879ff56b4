"""Figures of the studies beyond the paper: lines with error bars, one for each strategy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dg_jax.analysis import figures, shortcut, validations

# Okabe and Ito's colours that are dark enough for lines, black for the first method, mostly the baseline.
_COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5539")
_MARKERS = "os^Dv<>P"
_LEVELS_APART = 0.02  # in accuracy on validation
_ROUNDING = 1e-6  # 0.58 / 0.02 is not quite 29
_ROWS = {
    "target": "target, random colours:\naccuracy in %",
    "validation": "validation of sources:\naccuracy in %",
    "shortcut": "target, right by a\nsource's code: accuracy in %",
    "lean": "lean on the shortcut:\nright minus random, points",
}


def over_strength(measures: shortcut.Measures) -> figures.Figure:
    """Draws a row of panels for each measure and a column for each target: a line for each method, over the strength.

    Error bars are one standard deviation over seeds. The points of one strength lie side by
    side, so that the bars can be told apart.

    Returns:
        A matplotlib ``Figure``.
    """
    complete, methods = shortcut.with_lean(measures), shortcut.methods_of(measures)
    targets = list(measures["target"])
    figure = figures.Figure(figsize=(1.0 + 4.5 * len(targets), 0.8 + 2.5 * len(_ROWS)), layout="constrained")
    panels = figure.subplots(len(_ROWS), len(targets), sharex=True, sharey="row", squeeze=False)
    for row, (name, label) in zip(panels, _ROWS.items(), strict=True):
        for axes, target in zip(row, targets, strict=True):
            strengths = complete[name][target]
            for i, method in enumerate(methods):
                points = {
                    strength + 0.008 * (i - (len(methods) - 1) / 2): list(of_methods[method].values())
                    for strength, of_methods in sorted(strengths.items())
                    if method in of_methods
                }
                _line(axes, points, method, i)
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.set_xticks(sorted(strengths), [f"{strength:g}" for strength in sorted(strengths)])
        row[0].set_ylabel(label)
    for axes, target in zip(panels[0], targets, strict=True):
        axes.set_title(f"target {target}", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("share of the sources' pictures in which the colour is right")
    _legend(figure, panels[0, 0])
    return figure


def over_training(histories: validations.Histories) -> figures.Figure:
    """Draws accuracy on the target, over steps (above) and over accuracy on validation (below).

    There is a column of panels for each target.

    Below, a point is the accuracy on the target at the first validation that reaches a level,
    at multiples of 2 points that all seeds of the method reach and none is above at its first
    validation. Points are means over seeds, error bars one standard deviation.

    Returns:
        A matplotlib ``Figure``.
    """
    targets = list(histories)
    figure = figures.Figure(figsize=(1.0 + 3.2 * len(targets), 6.6), layout="constrained")
    panels = figure.subplots(2, len(targets), sharex="row", sharey=True, squeeze=False)
    for column, target in zip(panels.T, targets, strict=True):
        for i, (method, seeds) in enumerate(histories[target].items()):
            runs = list(seeds.values())
            _line(column[0], _over_steps(runs) if runs else {}, method, i)
            _line(column[1], _over_levels(runs) if runs else {}, method, i)
        column[0].set_title(f"target {target}", fontsize=10)
        column[0].set_xlabel("step")
        column[1].set_xlabel("accuracy on validation in %")
        for axes in column:
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy on the target in %")
    _legend(figure, panels[0, 0])
    return figure


def _over_steps(runs: Sequence[validations.History]) -> dict[float, list[float]]:
    steps = set.intersection(*(set(run.steps) for run in runs))
    return {step: [run.target[list(run.steps).index(step)] for run in runs] for step in sorted(steps)}


def _over_levels(runs: Sequence[validations.History]) -> dict[float, list[float]]:
    lowest = max(run.validation[0] for run in runs) / _LEVELS_APART
    highest = min(max(run.validation) for run in runs) / _LEVELS_APART
    points = {}
    for number in range(math.ceil(lowest - _ROUNDING), math.floor(highest + _ROUNDING) + 1):
        reached = [validations.at_first(run, _LEVELS_APART * (number - _ROUNDING)) for run in runs]
        points[100 * _LEVELS_APART * number] = [accuracy for accuracy in reached if accuracy is not None]
    return points


def _line(axes, points: Mapping[float, Sequence[float]], method: str, number: int) -> None:
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


def _legend(figure: figures.Figure, axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
