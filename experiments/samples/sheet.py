"""A sheet of example images: a row for each domain, a column for each class."""

import textwrap
from collections.abc import Sequence

import numpy as np

from dg_jax.analysis import figures

_CELL = 0.72  # in inches: pictures of 72 pixels are written at twice their size
_LETTERS_IN_A_CELL = 10


def draw(images: Sequence[Sequence[np.ndarray | None]], domains: Sequence[str], classes: Sequence[str]):
    """Draws images in rows and columns with their names.

    Args:
        images: for each domain and class an image, uint8 ``[H, W, 3]``, or ``None`` where
            there is none; the cell then says so.
        domains: names of the rows.
        classes: names of the columns.

    Returns:
        A matplotlib ``Figure``.
    """
    titles = [textwrap.fill(_spaced(name), _LETTERS_IN_A_CELL) for name in classes]
    left = 0.2 + 0.085 * max(len(figures.label(name)) for name in domains)
    top = 0.1 + 0.17 * max(title.count("\n") + 1 for title in titles)
    gap = 0.06
    width = left + len(classes) * (_CELL + gap) + gap
    height = top + len(domains) * (_CELL + gap) + gap
    figure = figures.Figure(figsize=(width, height))
    for row, (domain, of_domain) in enumerate(zip(domains, images, strict=True)):
        bottom = height - top - (row + 1) * (_CELL + gap)
        figure.text((left - 0.1) / width, (bottom + _CELL / 2) / height, _spaced(domain), ha="right", va="center")
        for column, image in enumerate(of_domain):
            start = left + column * (_CELL + gap)
            axes = figure.add_axes((start / width, bottom / height, _CELL / width, _CELL / height))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("0.85")
            if image is None:
                axes.text(0.5, 0.5, "none", color="0.5", ha="center", va="center", transform=axes.transAxes)
            else:
                axes.imshow(image)
            if row == 0:
                axes.set_title(titles[column], fontsize=10, pad=4)
    return figure


def _spaced(name: str) -> str:
    return figures.label(name.replace("_", " "))
