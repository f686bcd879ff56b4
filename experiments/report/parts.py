"""The parts of a page, and the page itself."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dg_jax.command_line import packages

with packages.needed("the report needs", "analysis"):
    import jinja2
    import markupsafe

    from dg_jax.analysis import figures
    from experiments.report import svg


WIDTH = 5.0  # of a figure, in inches: two fit side by side on a screen, and one is readable on a phone


class Heading(NamedTuple):
    """A heading within a section."""

    text: str
    kind: str = "heading"


class Lines(NamedTuple):
    """Sentences, one a line."""

    lines: Sequence[str]
    kind: str = "lines"


class Grid(NamedTuple):
    """A table.

    Attributes:
        caption: what is in it; no two of a page have the same.
        header: names of the columns.
        rows: their cells; the first is the header of the row.
        num_names: how many columns have words and not numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_names: int = 1
    kind: str = "grid"


class Pictures(NamedTuple):
    """Figures side by side where there is room.

    Attributes:
        drawn: ``<svg>`` elements.
        caption: of all of them.
    """

    drawn: Sequence[markupsafe.Markup]
    caption: str
    kind: str = "pictures"


class Commands(NamedTuple):
    """Command lines."""

    lines: Sequence[str]
    kind: str = "commands"


Part = Heading | Lines | Grid | Pictures | Commands


class Section(NamedTuple):
    """A part of the page, such as all of a dataset."""

    title: str
    parts: Sequence[Part]


def picture(draw: Callable[[], figures.Figure], label: str) -> markupsafe.Markup:
    """Returns a figure as an element of the page, see :func:`experiments.report.svg.inline`."""
    return markupsafe.Markup(svg.inline(draw, label))


def page(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """Returns the page as HTML in ASCII only; other letters are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html").render(title=title, summary=summary, sections=sections)
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")
