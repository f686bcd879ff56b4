import numpy as np
import pytest
from matplotlib import colors

from dg_jax.analysis import similarity_figures

STEPS = np.array([0, 20, 40])


def panel(runs):
    rng = np.random.default_rng(0)
    return similarity_figures.Curves(STEPS, rng.random((runs, 3)), rng.random((runs, 3)))


@pytest.mark.parametrize("runs", [1, 3])
def test_curves_are_means_in_red_and_blue_with_bands_of_deviations(runs):
    drawn = panel(runs)
    figure = similarity_figures.curves({"sources a, b": drawn, "sources a, c": drawn})
    assert [axes.get_title() for axes in figure.axes] == ["sources a, b", "sources a, c"]
    for axes in figure.axes:
        red, blue = axes.lines
        for line, colour, values in ((red, "tab:red", drawn.intra), (blue, "tab:blue", drawn.inter)):
            assert line.get_color() == colour
            np.testing.assert_array_equal(line.get_xdata(), STEPS)
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
        assert len(axes.collections) == (2 if runs > 1 else 0)
        for band, values in zip(axes.collections, (drawn.intra, drawn.inter), strict=False):
            edges = band.get_paths()[0].vertices
            at_first = sorted({round(y, 9) for x, y in edges if x == STEPS[0]})
            mean, deviation = values[:, 0].mean(), values[:, 0].std(ddof=1)
            np.testing.assert_allclose(at_first, [mean - deviation, mean + deviation], atol=1e-8)
            assert band.get_facecolor()[0, :3].tolist() in [
                list(colors.to_rgb(name)) for name in ("tab:red", "tab:blue")
            ]


def test_panels_that_do_not_fill_a_row_leave_no_empty_axes():
    assert len(similarity_figures.curves({str(i): panel(1) for i in range(5)}).axes) == 5


def test_the_heat_map_has_layers_as_rows_and_steps_as_columns():
    agreement = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    figure = similarity_figures.heat_map(STEPS, ["conv.kernel", "dense.kernel"], agreement, "title")
    axes, bar = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), agreement.T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv.kernel", "dense.kernel"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "20", "40"]
    assert bar.get_ylabel() == "agreeing components"
