import numpy as np

from experiments.report import validation_figures

METHODS = [f"method {i}" for i in range(10)]


def test_lines_are_means_over_runs_in_percent_with_one_look_a_method():
    rng = np.random.default_rng(0)
    steps = np.array([20, 40, 60])
    panels = {
        target: {method: validation_figures.Curve(steps, rng.random((runs, 3))) for method in METHODS}
        for target, runs in (("photo", 4), ("sketch", 1), ("art", 2))
    }
    del panels["sketch"]["method 1"]
    figure = validation_figures.curves(panels, METHODS)
    assert [axes.get_title() for axes in figure.axes] == ["photo", "sketch", "art"]
    handles = figure.legends[0].get_lines()
    looks = {handle.get_label(): (handle.get_color(), handle.get_linestyle()) for handle in handles}
    assert list(looks) == METHODS and len(set(looks.values())) == len(METHODS)
    for axes in figure.axes:
        drawn = panels[axes.get_title()]
        assert [(line.get_color(), line.get_linestyle()) for line in axes.lines] == [looks[name] for name in drawn]
        for line, curve in zip(axes.lines, drawn.values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), steps)
            np.testing.assert_allclose(line.get_ydata(), 100 * curve.accuracies.mean(axis=0))
