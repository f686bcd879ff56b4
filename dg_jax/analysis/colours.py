"""Gives each method one colour in all figures."""

import colorsys
import zlib
from typing import NamedTuple


class Look(NamedTuple):
    """How a method is drawn.

    Attributes:
        fill: of boxes and bars; black is readable on it.
        line: of the same hue, with a contrast of 3 : 1 to a white page and to a black one.
        hatch: of boxes and bars.
        dashes: of lines, as matplotlib's ``linestyle``.
        marker: of points.
    """

    fill: str
    line: str
    hatch: str = ""
    dashes: str = "-"
    marker: str = "o"


# Okabe and Ito's hues, which the colour-blind can tell apart, without black and without the green of mean triangles.
_LOOKS = {
    "deep_all": Look("#bbbbbb", "#7a7a7a", marker="o"),
    "agr_sum": Look("#e69f00", "#b87500", dashes="--", marker="s"),
    "agr_rand": Look("#56b4e9", "#2b8cc4", dashes=":", marker="^"),
    "pcgrad": Look("#f0e442", "#8a8300", dashes="-.", marker="D"),
    "irm": Look("#0072b2", "#3f73c8", marker="v"),
    "mldg": Look("#d55e00", "#d55e00", dashes="--", marker="<"),
    "mixup": Look("#cc79a7", "#b8609a", dashes=":", marker=">"),
    "group_dro": Look("#7f5539", "#96633f", dashes="-.", marker="P"),
}
_HATCHES = ("///", "...", "xxx", "\\\\\\")
_DASHES = ("--", ":", "-.")
_MARKERS = "X*ph8"


def look(method: str) -> Look:
    """Returns how a method is drawn, which is the same in all figures.

    With another combiner (``irm+agr_sum``), or with single-domain batches, a method has its strategy's
    colour and a hatch. A method that is not known here has a colour computed from its name.

    Example:
        >>> look("agr_sum").fill, look("irm+agr_sum").fill == look("irm").fill
        ('#e69f00', True)
    """
    if method in _LOOKS:
        return _LOOKS[method]
    number = zlib.crc32(method.encode())
    strategy = method.partition("+")[0].removesuffix("-single_domain")
    if strategy in _LOOKS:
        base = _LOOKS[strategy]
    else:
        hue = number % 360 / 360
        base = Look(_hex(hue, 0.75), _hex(hue, 0.48))
    return base._replace(
        hatch=_HATCHES[number % len(_HATCHES)],
        dashes=_DASHES[number % len(_DASHES)],
        marker=_MARKERS[number % len(_MARKERS)],
    )


def _hex(hue: float, lightness: float) -> str:
    """Returns a colour of low saturation, so that its luminance is near its lightness."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, lightness, 0.2))
