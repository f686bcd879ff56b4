"""The figure of fine-tuning: accuracy on the target over steps, and over accuracy on validation."""

import math
from collections.abc import Mapping, Sequence

from dg_jax.analysis import figures, lines
from experiments.finetune import validations

_LEVELS_APART = 0.02  # in accuracy on validation
_ROUNDING = 1e-6  # 0.58 / 0.02 is not quite 29


def over_training(histories: validations.Histories) -> figures.Figure:
    """Draws accuracy on the target over steps (above), and its difference between methods at equal validation (below).

    There is a column of panels for each target.

    Below, each point belongs to a level of accuracy on validation. It shows the accuracy on the target at the first
    validation that reaches the level, minus that of the first method, in pairs of the same seed. The levels are
    multiples of 2 points that all seeds of both methods reach, and that none exceeds at its first validation. The
    points of one level lie side by side. Points are means over seeds, error bars one standard deviation.

    Returns:
        A matplotlib ``Figure``.
    """
    targets = list(histories)
    figure = figures.Figure(figsize=(1.0 + 3.2 * len(targets), 6.6), layout="constrained")
    panels = figure.subplots(2, len(targets), sharex="row", sharey="row", squeeze=False)
    for column, target in zip(panels.T, targets, strict=True):
        first = next(iter(histories[target].values()), {})
        for i, (method, seeds) in enumerate(histories[target].items()):
            runs = list(seeds.values())
            lines.line(column[0], _over_steps(runs) if runs else {}, method)
            apart = 0.3 * (i - len(histories[target]) / 2)
            lines.line(column[1], _over_levels(seeds, first, apart) if i else {}, method)
        column[1].axhline(0, color="0.2", linewidth=0.8)
        column[0].set_title(f"target {target}", fontsize=10)
        column[0].set_xlabel("step")
        column[1].set_xlabel("accuracy on validation in %")
        for axes in column:
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
    baseline = next(iter(histories[targets[0]]), "the first")
    panels[0, 0].set_ylabel("accuracy on the target in %")
    panels[1, 0].set_ylabel(f"accuracy on the target\nminus {baseline}, in points")
    lines.legend(figure, panels[0, 0])
    return figure


def _over_steps(runs: Sequence[validations.History]) -> dict[float, list[float]]:
    steps = set.intersection(*(set(run.steps) for run in runs))
    return {step: [run.target[list(run.steps).index(step)] for run in runs] for step in sorted(steps)}


def _over_levels(
    seeds: Mapping[int, validations.History], first: Mapping[int, validations.History], apart: float
) -> dict[float, list[float]]:
    pairs = [(history, first[seed]) for seed, history in seeds.items() if seed in first]
    if not pairs:
        return {}
    runs = [run for pair in pairs for run in pair]
    lowest = max(run.validation[0] for run in runs) / _LEVELS_APART
    highest = min(max(run.validation) for run in runs) / _LEVELS_APART
    points = {}
    for number in range(math.ceil(lowest - _ROUNDING), math.floor(highest + _ROUNDING) + 1):
        level = _LEVELS_APART * (number - _ROUNDING)
        both = [[validations.at_first(run, level) for run in pair] for pair in pairs]
        points[100 * _LEVELS_APART * number + apart] = [
            own - other for own, other in both if own is not None and other is not None
        ]
    return points
