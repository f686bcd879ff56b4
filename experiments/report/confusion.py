"""Accuracy by class, and confusion matrices: which classes are predicted as which."""

import functools
from collections.abc import Sequence

import numpy as np

from dg_jax.analysis import figures, markdown
from experiments.report import parts
from experiments.report.stored import Run

_MOST_CLASSES_WITH_NUMBERS = 12


def of(dataset: str, runs: Sequence[Run]) -> list[parts.Part]:
    """Returns the parts of the page on classes, a matrix for each target and method, summed over seeds."""
    summed: dict[tuple[str, str], np.ndarray] = {}
    classes: dict[tuple[str, str], tuple[str, ...]] = {}
    for run in runs:
        which = run.target, run.method
        of_run = tuple(run.result["classes"]), np.array(run.result["confusion"])
        if classes.setdefault(which, of_run[0]) == of_run[0]:
            summed[which] = summed.get(which, 0) + of_run[1]
    made: list[parts.Part] = [parts.Heading("Accuracy by class, and which class is predicted as which")]
    for target in dict.fromkeys(target for target, _ in summed):
        methods = [method for of_target, method in summed if of_target == target]
        names = classes[target, methods[0]]
        rows = [
            [name, *(_percent(summed[target, method], i) for method in methods if classes[target, method] == names)]
            for i, name in enumerate(names)
        ]
        header = ["class", *(method for method in methods if classes[target, method] == names)]
        made.append(parts.Grid(f"{dataset}, {target}: accuracy by class in percent, over all seeds", header, rows))
        drawn = [
            parts.picture(
                functools.partial(
                    matrix, summed[target, method], classes[target, method], f"{method}, target {target}"
                ),
                f"{dataset}: confusion matrix of {method} on {target}",
            )
            for method in methods
        ]
        made.append(
            parts.Pictures(drawn, "Rows are the true classes, columns the predicted ones; images of all seeds.")
        )
    return made


def matrix(confusion: np.ndarray, classes: Sequence[str], title: str) -> figures.Figure:
    """Draws a confusion matrix of counts. The shade is the share of the row.

    Args:
        confusion: counts ``[classes, classes]``.
        classes: names of the rows and columns.
        title: of the figure.
    """
    figure = figures.Figure(figsize=(parts.WIDTH, parts.WIDTH * 0.9), layout="constrained")
    axes = figure.subplots()
    confusion = confusion[: len(classes), : len(classes)]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    if len(classes) <= _MOST_CLASSES_WITH_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", fontsize=8, color=colour)
        names = [figures.label(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(len(classes)), names, fontsize=8)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(figures.label(title), fontsize=10)
    return figure


def _percent(confusion: np.ndarray, i: int) -> str:
    total = confusion[i].sum()
    return f"{100 * confusion[i, i] / total:.1f}" if total else markdown.MISSING
