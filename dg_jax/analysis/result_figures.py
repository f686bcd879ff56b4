"""Draws Figures 3 and 4, and the heat map of a grid search."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from dg_jax.analysis import colours, figures, notes, render, significance
from dg_jax.analysis import grid as grids
from dg_jax.analysis import table as tables

# isort: split
from matplotlib import artist, lines, patches, rcParams

_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
_LETTERS_IN_AN_INCH = 12
_INCHES_OF_A_KEY = 2.0
_TRIANGLE: dict[str, Any] = {
    "marker": "^",
    "markerfacecolor": "#00b050",
    "markeredgecolor": "black",
    "markeredgewidth": 0.5,
}


def box_plots(table: tables.Table, width: float = 10.0) -> figures.Figure:
    """Draws Figure 3: for each target a box for each method, over seeds.

    The box reaches from the lower to the upper quartile, the whiskers from minimum to maximum. The line is the median,
    the green triangle the mean. An asterisk is above methods that differ from the baseline with p < 0.05.

    Args:
        table: the accuracies.
        width: of the figure, in inches.

    Returns:
        A matplotlib ``Figure``.
    """
    figure = figures.Figure(figsize=(width, 5.6), layout="constrained")
    axes = figure.subplots()
    slots = len(table.methods) + 1.5  # for each target, with the gap to the next
    handles: list[artist.Artist] = []
    for i, method in enumerate(table.methods):
        look = colours.look(method)
        style: dict[str, Any] = {"facecolor": look.fill, "hatch": look.hatch}
        handles.append(patches.Patch(edgecolor="0.2", label=method, **style))
        for j, target in enumerate(table.targets):
            cell = table.cells[target].get(method)
            if cell is not None:
                _box(axes, slots * j + i, cell, style)
    for j in range(1, len(table.targets)):
        axes.axvline(slots * j - 1.25, color="0.85", linewidth=0.8)
    middle = (len(table.methods) - 1) / 2
    axes.set_xticks([slots * j + middle for j in range(len(table.targets))], map(figures.label, table.targets))
    axes.set_xlim(-1.25, slots * len(table.targets) - 1.25)
    axes.tick_params(axis="x", length=0)
    no_star = figures.label(" ".join(notes.no_star(table)))
    axes.set_xlabel("\n".join(["target domain", *textwrap.wrap(no_star, int(width * _LETTERS_IN_AN_INCH))]))
    axes.set_ylabel("accuracy in %")
    axes.margins(y=0.08)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    handles.append(lines.Line2D([], [], linestyle="none", label="mean", **_TRIANGLE))
    if any(comparison.significant for _, _, comparison in table.comparisons):
        star = f"p < {significance.LEVEL} against {table.baseline}"
        handles.append(lines.Line2D([], [], linestyle="none", marker=(6, 2, 0), color="0.2", label=star))
    figure.legend(handles=handles, loc="outside upper center", ncols=int(width / _INCHES_OF_A_KEY), frameon=False)
    return figure


def _box(axes, position: float, cell: tables.Cell, style: dict) -> None:
    percent = 100 * np.array(list(cell.accuracies.values()))
    axes.boxplot(
        percent,
        positions=[position],
        widths=0.75,
        whis=(0, 100),
        showmeans=True,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"edgecolor": "0.2", "linewidth": 0.8, **style},
        medianprops={"color": "black", "linewidth": 1.4},
        meanprops={**_TRIANGLE, "markersize": 6},
        whiskerprops={"color": "0.2", "linewidth": 0.8},
        capprops={"color": "0.2", "linewidth": 0.8},
    )
    if cell.significant:
        axes.annotate(
            "*", (position, percent.max()), (0, -1), textcoords="offset points", ha="center", va="bottom", fontsize=14
        )


def bars(
    multi_domain: tables.Accuracies,
    single_domain: tables.Accuracies,
    methods: Sequence[str],
    targets: Sequence[str],
    width: float = 10.0,
) -> figures.Figure:
    """Draws Figure 4: mean accuracy with multi-domain batches (white) beside single-domain ones (grey).

    Error bars are one standard deviation over seeds (divided by n - 1); a single seed has none.

    Args:
        multi_domain: target -> method -> seed -> accuracy as a fraction.
        single_domain: the same, with all batches of a step from one source.
        methods: each has a pair of bars, in this order.
        targets: each has a panel, in this order.
        width: of the figure, in inches.

    Returns:
        A matplotlib ``Figure``.
    """
    figure = figures.Figure(figsize=(width, 4.2), layout="constrained")
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    kinds: tuple[tuple[str, tables.Accuracies, dict[str, Any]], ...] = (
        ("multi-domain batches", multi_domain, {"facecolor": rcParams["axes.facecolor"], "edgecolor": "0.2"}),
        ("single-domain batches", single_domain, {"facecolor": "0.7", "edgecolor": "0.2", "hatch": "//"}),
    )
    for axes, target in zip(panels, targets, strict=True):
        for i, (_, accuracies, style) in enumerate(kinds):
            cells = tables.summarize(accuracies, methods, [target]).cells[target]
            for j, method in enumerate(methods):
                if method in cells:
                    _bar(axes, j + 0.4 * (i - 0.5), cells[method], style)
        axes.set_title(figures.label(target), fontsize=10)
        axes.set_xticks(range(len(methods)), methods, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.6, len(methods) - 0.4)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    panels[0].set_ylabel("accuracy in %")
    panels[0].margins(y=0.2)  # room for the numbers above the bars
    handles = [patches.Patch(label=label, **style) for label, _, style in kinds]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _bar(axes, position: float, cell: tables.Cell, style: dict) -> None:
    """Draws one bar from 0 with its error bar, and the number of its height above."""
    height, deviation = 100 * cell.mean, 100 * (cell.deviation or 0)
    axes.bar(position, height, 0.4, yerr=deviation or None, ecolor="0.2", capsize=2.5, linewidth=0.8, **style)
    axes.annotate(
        render.percent(cell.mean),
        (position, height + deviation),
        (0, 3),
        textcoords="offset points",
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=8,
    )


def heat_map(grid: grids.Grid) -> figures.Figure:
    """Draws a grid search, with the accuracy in each cell and a frame around the best.

    Args:
        grid: (learning rate, weight decay) -> mean validation accuracy as a fraction, ``None`` where a run failed.

    Returns:
        A matplotlib ``Figure``.
    """
    rates, decays = grids.axes(grid)
    percent = 100 * np.array([[grid.get((rate, decay)) for decay in decays] for rate in rates], float)  # None: NaN
    figure = figures.Figure(figsize=(2 + 1.1 * len(decays), 1.4 + 0.6 * len(rates)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="viridis", aspect="auto")
    shades = image.to_rgba(percent)
    for (rate, decay), accuracy in grid.items():
        row, column = rates.index(rate), decays.index(decay)
        colour = "white" if shades[row, column, :3] @ _LUMINANCE < 0.5 else "black"
        axes.text(column, row, grids.text(accuracy), ha="center", va="center", color=colour)
    best_rate, best_decay = grids.best(grid)
    corner = (decays.index(best_decay) - 0.5, rates.index(best_rate) - 0.5)
    axes.add_patch(patches.Rectangle(corner, 1, 1, fill=False, edgecolor="#d55e00", linewidth=3, clip_on=False))
    axes.set_xticks(range(len(decays)), map(grids.number, decays))
    axes.set_yticks(range(len(rates)), map(grids.number, rates))
    axes.set(xlabel="weight decay", ylabel="learning rate")
    axes.set_title("mean validation accuracy of the sources in %", fontsize=10)
    return figure
