"""Figures as files."""

import pathlib
from typing import TYPE_CHECKING

from dg_jax import errors

if TYPE_CHECKING:
    from dg_jax.analysis.figures import Figure


def save(figure: "Figure", path: pathlib.Path) -> None:
    """Writes a figure, see :func:`dg_jax.analysis.figures.save`; raises a ``UserError`` if it cannot be written."""
    from dg_jax.analysis import figures

    try:
        figures.save(figure, path)
    except OSError as error:
        raise errors.UserError(f"cannot write {path}: {error.strerror}; give another place") from error
