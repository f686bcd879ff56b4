import numpy as np

from experiments.samples import sheet


def test_a_sheet_has_a_row_for_each_domain_and_names_both():
    rng = np.random.default_rng(0)
    images = [[rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(3)] for _ in range(2)]
    images[1][2] = None
    figure = sheet.draw(images, ["real_world", "art"], ["one", "two", "three and a few more"])
    assert [text.get_text() for text in figure.texts] == ["real world", "art"]
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", "three and\na few more", "", "", ""]
    shown = [axes.images[0].get_array() if axes.images else None for axes in figure.axes]
    for expected, image in zip(images[0] + images[1], shown, strict=True):
        np.testing.assert_array_equal(expected, image)
    assert figure.axes[5].texts[0].get_text() == "none"
    lower, upper = figure.axes[3].get_position(), figure.axes[0].get_position()
    assert lower.y1 < upper.y0 and lower.x0 == upper.x0
