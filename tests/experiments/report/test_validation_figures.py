import numpy as np

from dg_jax import strategies
from dg_jax.analysis import colours
from experiments.report import validation_figures

METHODS = [*strategies.STRATEGIES, "irm+agr_sum"]


def test_lines_are_means_over_runs_in_percent_with_the_look_of_the_method():
    rng = np.random.default_rng(0)
    steps = np.array([20, 40, 60])
    drawn = {method: validation_figures.Curve(steps, rng.random((3, 3))) for method in METHODS if method != "mldg"}
    figure = validation_figures.curves("photo", drawn, METHODS)
    [axes] = figure.axes
    assert axes.get_title() == "photo"
    assert [line.get_label() for line in axes.lines] == list(drawn)
    for line, (method, curve) in zip(axes.lines, drawn.items(), strict=True):
        assert (line.get_color(), line.get_linestyle()) == (colours.look(method).line, colours.look(method).dashes)
        np.testing.assert_array_equal(line.get_xdata(), steps)
        np.testing.assert_allclose(line.get_ydata(), 100 * curve.accuracies.mean(axis=0))
