"""The figures of the paper's Table 1, and ours beside them."""

import dataclasses
import pathlib

from dg_jax.analysis import table as tables


@dataclasses.dataclass(frozen=True)
class Published:
    """What the paper says of one method on one target, as fractions."""

    mean: float
    deviation: float | None
    best: bool
    significant: bool


def read(path: pathlib.Path) -> dict[str, dict[str, dict[str, Published]]]:
    """Reads the paper's figures: dataset -> target (or ``average``) -> method -> published.

    Raises:
        UserError: the file is missing or is no such table.
    """
    raise NotImplementedError


def beside_paper(table: tables.Table, dataset: str, path: pathlib.Path) -> str:
    """Returns a Markdown table of the paper's figures and ours, in percent.

    Raises:
        UserError: the file is missing or is no such table, or the paper has no such dataset.
    """
    raise NotImplementedError
