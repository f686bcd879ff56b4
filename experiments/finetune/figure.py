"""The figure of fine-tuning: accuracy on the target over steps, and over accuracy on validation."""

import math
from collections.abc import Sequence

from dg_jax.analysis import figures, lines
from experiments.finetune import validations

_LEVELS_APART = 0.02  # in accuracy on validation
_ROUNDING = 1e-6  # 0.58 / 0.02 is not quite 29


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
            lines.line(column[0], _over_steps(runs) if runs else {}, method, i)
            lines.line(column[1], _over_levels(runs) if runs else {}, method, i)
        column[0].set_title(f"target {target}", fontsize=10)
        column[0].set_xlabel("step")
        column[1].set_xlabel("accuracy on validation in %")
        for axes in column:
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy on the target in %")
    lines.legend(figure, panels[0, 0])
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
