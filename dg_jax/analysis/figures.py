"""What all figures share: matplotlib without a display, and files that are complete or absent."""

import pathlib

import matplotlib
from matplotlib.figure import Figure
from PIL import Image  # which matplotlib brings

from dg_jax.analysis import text

_DOTS_PER_INCH = 200
_MOST_COLOURS_OF_LINES = 10_000  # crossing lines make many shades

__all__ = ["Figure", "label", "save"]


def label(name: str) -> str:
    """Returns a name for matplotlib, which would otherwise read text between dollars as a formula."""
    shown = text.printable(name)
    return shown.replace("$", r"\$") if matplotlib.rcParams["text.parse_math"] else shown


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure in the format of the path's ending, and creates the folder if it is missing.

    A PNG of few colours, which most have, is written with a palette: the file is smaller.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(unfinished, format=path.suffix.removeprefix("."), dpi=_DOTS_PER_INCH)
    if path.suffix == ".png":
        with Image.open(unfinished) as image:
            colours = image.convert("RGB")
        if colours.getcolors(_MOST_COLOURS_OF_LINES) is not None:  # pictures have more, and would look bad
            colours = colours.quantize(256, dither=Image.Dither.NONE)
        colours.save(unfinished, "PNG", optimize=True)
    unfinished.replace(path)
