"""Draws gradient similarity (paper, Figure 2) and agreement by layer, over training."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dg_jax.analysis import figures

_LETTERS_ABOVE_A_PANEL = 42
_LETTERS_ABOVE_A_HEAT_MAP = 56


class Curves(NamedTuple):
    """Mean cosines over training, for R runs measured at the same T steps.

    Attributes:
        steps: integers ``[T]``.
        intra: within domains, ``[R, T]``.
        inter: between domains, ``[R, T]``.
    """

    steps: np.ndarray
    intra: np.ndarray
    inter: np.ndarray


def curves(panels: Mapping[str, Curves], panels_in_a_row: int = 4):
    """Draws one panel for each combination of sources: cosines within domains in red, between them in blue.

    Lines are means over runs, bands one standard deviation to either side.

    Args:
        panels: what to draw, by the title of the panel.
        panels_in_a_row: the most panels in a row.

    Returns:
        A matplotlib ``Figure``.
    """
    columns = min(len(panels), panels_in_a_row)
    rows = -(-len(panels) // columns)
    figure = figures.Figure(figsize=(0.8 + 3.4 * columns, 3.2 * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (title, panel) in zip(all_axes.flat, panels.items(), strict=False):
        for values, name, colour in (
            (panel.intra, "intra-domain", "tab:red"),
            (panel.inter, "inter-domain", "tab:blue"),
        ):
            mean = values.mean(axis=0)
            axes.plot(panel.steps, mean, color=colour, lw=1.5, label=name)
            if len(values) > 1:
                deviation = values.std(axis=0, ddof=1)
                axes.fill_between(panel.steps, mean - deviation, mean + deviation, color=colour, alpha=0.2, lw=0)
        axes.set_title(textwrap.fill(figures.label(title), _LETTERS_ABOVE_A_PANEL), fontsize=10)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("step")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("mean cosine similarity")
    for axes in all_axes.flat[len(panels) :]:
        axes.remove()
    all_axes[0, 0].legend(frameon=False)
    return figure


def heat_map(steps: np.ndarray, layers: Sequence[str], agreement: np.ndarray, title: str):
    """Draws the fraction of agreeing components by layer (rows) and step (columns).

    Args:
        steps: integers ``[T]``.
        layers: names of the L rows.
        agreement: fractions in [0, 1], ``[T, L]``.
        title: of the figure.

    Returns:
        A matplotlib ``Figure``.
    """
    figure = figures.Figure(figsize=(6, 1.4 + 0.22 * len(layers)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.transpose(agreement), aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes.set_yticks(range(len(layers)), map(figures.label, layers), fontsize=8)
    labelled = range(0, len(steps), -(-len(steps) // 10))
    axes.set_xticks(labelled, [str(steps[i]) for i in labelled])
    axes.set(xlabel="step", title=textwrap.fill(figures.label(title), _LETTERS_ABOVE_A_HEAT_MAP))
    figure.colorbar(image, ax=axes, label="agreeing components")
    return figure
