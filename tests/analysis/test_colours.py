import pytest

from dg_jax import strategies
from dg_jax.analysis import colours

UNKNOWN = ["mine", "x" * 300, "", "Été", "irm+agr_sum", "agr_sum-single_domain", "mine+agr_sum"]


def luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_strategy_of_the_paper_has_a_colour_and_a_marker_of_its_own():
    looks = [colours.look(name) for name in strategies.PAPER]
    for what in ("fill", "line", "marker"):
        assert len({getattr(look, what) for look in looks}) == len(looks)


@pytest.mark.parametrize("method", [*strategies.STRATEGIES, *UNKNOWN])
def test_black_can_be_read_on_its_fill_and_its_line_on_white_and_black(method):
    look = colours.look(method)
    assert look == colours.look(method)
    assert contrast(look.line, "#ffffff") > 3 and contrast(look.line, "#14171c") > 3
    assert contrast(look.fill, "#000000") > 2.9


def test_a_variant_has_the_colour_of_its_strategy_and_a_hatch():
    for name in ("irm+agr_sum", "irm-single_domain", "irm+pcgrad-single_domain"):
        assert colours.look(name).fill == colours.look("irm").fill and colours.look(name).hatch
