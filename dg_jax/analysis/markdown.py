"""Writes tables in Markdown."""

from collections.abc import Iterable, Sequence

from dg_jax.analysis import text

MISSING = "-"
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", **{letter: f"\\{letter}" for letter in "\\|*`[]"}})


def table(header: Sequence[str], rows: Iterable[Sequence[str]], num_names: int = 1) -> str:
    """Returns the lines of a table; the first ``num_names`` columns are aligned left, the others right."""
    rule = ["---"] * num_names + ["---:"] * (len(header) - num_names)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def escape(name: str) -> str:
    """Returns a name for a cell of a table, without markup, HTML or links."""
    return text.printable(name).translate(_MARKUP)
