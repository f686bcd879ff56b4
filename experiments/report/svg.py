"""A figure as SVG within a page. It takes the page's colours, so that it is readable on light and dark pages."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from dg_jax.analysis import figures

# isort: split
import matplotlib  # after figures, which says what to do if matplotlib is missing

# Placeholders for colours that the page sets. Black and white do not change: they are text on colours.
_INK, _PAGE = "#010203", "#fcfdfe"
_OF_THE_PAGE = {
    _INK: "currentColor",
    _PAGE: "var(--page)",
    "#333333": "currentColor",  # edges, 0.2 of white
    "#d9d9d9": "var(--faint)",  # grids, 0.85 and 0.9
    "#e6e6e6": "var(--faint)",
    "#b2b2b2": "var(--faint)",  # the bars of single-domain batches, 0.7
}
_SETTINGS: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "axes.facecolor": _PAGE,
    "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none",  # text, not outlines: smaller, and can be read aloud, searched and copied
    "text.parse_math": False,  # names come from files, and may have a $
}
_PIXELS_IN_A_POINT = 96 / 72
_NAMESPACE = re.compile(r"\{.*\}")
_REFERENCE = re.compile(r"#([\w-]+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # XML forbids these characters, a name may have them
_DIGITS = re.compile(r"(\.\d\d)\d+")  # digits below a hundredth of a point


def inline(draw: Callable[[], figures.Figure], label: str) -> str:
    """Draws a figure and returns it as an ``<svg>`` element for an HTML page.

    The same figure gives the same text. The page has to set two CSS variables: ``--page``, the
    colour of the background, and ``--faint``, the colour of grids.

    Args:
        draw: makes the figure. It is called in here, as artists take their colours when they are made.
        label: what a screen reader says of the figure. No two figures of a page may have the same:
            the ids within are made from it.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": label}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has other fonts
        draw().savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(_CONTROL.sub("\ufffd", stream.getvalue()))
    _simplify(root)
    width, height = (float(root.attrib.pop(name).removesuffix("pt")) for name in ("width", "height"))
    root.attrib.pop("version")
    root.attrib |= {
        "width": f"{width * _PIXELS_IN_A_POINT:.0f}",
        "height": f"{height * _PIXELS_IN_A_POINT:.0f}",
        "role": "img",
        "aria-label": label,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _simplify(root: ElementTree.Element) -> None:
    """Takes out what a page does not need, and puts the page's colours in."""
    for parent in list(root.iter()):
        for child in list(parent):
            # The one style rule, for joins of lines, would apply to the whole page.
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    referred = {
        name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)
    }
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        attributes = {_NAMESPACE.sub("", name): value for name, value in element.attrib.items()}
        if attributes.get("id") not in referred:
            attributes.pop("id", None)
        for name in ("d", "x", "y", "points", "transform"):
            if name in attributes:
                attributes[name] = _DIGITS.sub(r"\1", " ".join(attributes[name].split()))
        for name in {"style", "fill"} & attributes.keys():  # fill is in hatches
            for colour, of_the_page in _OF_THE_PAGE.items():
                attributes[name] = attributes[name].replace(colour, of_the_page)
        if "href" in attributes:
            attributes["href"] = "".join(attributes["href"].split())  # embedded pictures have line breaks
        element.attrib.clear()
        element.attrib.update(attributes)
        if not (element.text or "").strip():
            element.text = None
        element.tail = None
