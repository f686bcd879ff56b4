"""Figures as elements of a page."""

import re
from xml.etree import ElementTree

import pytest

from dg_jax import errors
from dg_jax.analysis import colours, result_figures, table
from experiments.report import svg
from tests.analysis import made_accuracies

NAMES = ("</text><script>alert(1)</script>", 'a & b "c"', "$x_1$ #333333", "表情 \x07")


def box_plots(targets=NAMES):
    accuracies = made_accuracies.make(["deep_all", "agr_sum"], targets, num_seeds=6)
    return result_figures.box_plots(table.summarize(accuracies, ["deep_all", "agr_sum"], targets))


@pytest.fixture(scope="module")
def text():
    return svg.inline(box_plots, 'a label with "quotes" & <tags>')


def test_the_same_figure_is_the_same_text(text):
    assert svg.inline(box_plots, 'a label with "quotes" & <tags>') == text


def test_names_are_text_as_they_are_and_the_label_is_read_out(text):
    root = ElementTree.fromstring(text)
    assert root.tag == "svg" and root.get("role") == "img"
    assert root.get("aria-label") == 'a label with "quotes" & <tags>'
    written = {element.text for element in root.iter("text")}
    assert {errors.printable(name) for name in NAMES} <= written
    assert not list(root.iter("script"))


def test_size_is_that_of_the_figure_in_pixels(text):
    root = ElementTree.fromstring(text)
    assert (root.get("width"), root.get("height")) == ("960", "538")  # 10 x 5.6 inches of 96 pixels
    assert root.get("viewBox") == "0 0 720 403.2"


def test_nothing_comes_from_elsewhere_and_ids_are_referred_to_and_are_the_figures_own(text):
    assert "://" not in text and "<style" not in text and "<metadata" not in text
    ids = re.findall(r' id="([^"]*)"', text)
    assert ids and len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', text)) == set(ids)
    other = svg.inline(box_plots, "another label")
    assert not set(ids) & set(re.findall(r' id="([^"]*)"', other))


def test_letters_frames_and_grids_have_the_pages_colours(text):
    root = ElementTree.fromstring(text)
    for element in root.iter("text"):
        assert "fill: currentColor" in element.get("style")
    styles = [element.get("style", "") for element in root.iter()]
    assert not any(colour in style for style in styles for colour in ("#333333", "#e6e6e6", "#d9d9d9", "#010203"))
    assert any("stroke: var(--faint)" in style for style in styles)
    assert any(f"fill: {colours.look('agr_sum').fill}; stroke: currentColor" in style for style in styles)


def test_white_bars_are_of_the_pages_colour_and_letters_on_a_heat_map_are_not():
    accuracies = made_accuracies.make(["agr_sum"], ["photo"], num_seeds=3)
    bars = svg.inline(lambda: result_figures.bars(accuracies, accuracies, ["agr_sum"], ["photo"]), "bars")
    assert "fill: var(--page); stroke: currentColor" in bars
    assert 'fill="var(--faint)"' in bars and "#b2b2b2" not in bars  # the hatched ones
    heat_map = svg.inline(lambda: result_figures.heat_map({(0.1, 0.0): 0.25, (0.2, 0.0): 0.75}), "heat map")
    root = ElementTree.fromstring(heat_map)
    style = {element.text: element.get("style") for element in root.iter("text")}
    assert "fill: #ffffff" in style["25.00"] and "fill" not in style["75.00"]  # black on yellow, in any scheme
    assert "fill: currentColor" in style["weight decay"]
    (picture,) = root.iter("image")
    assert re.fullmatch(r"data:image/png;base64,[\w+/=]+", picture.get("href"))
