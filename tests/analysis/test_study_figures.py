"""What is drawn, read off the artists."""

import numpy as np
import pytest

from dg_jax.analysis import shortcut, study_figures, validations
from tests.analysis import test_shortcut


def lines_of(axes):
    """Label -> x, mean and (where there is one) lower and upper end of the error bar."""
    found = {}
    for container in axes.containers:
        data, _, (bars,) = container.lines
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        x, y = (np.asarray(values, float) for values in data.get_data())
        found[container.get_label()] = x, y, ends
    return found


def test_a_panel_for_each_measure_and_target_with_the_means_over_strength():
    measures = test_shortcut.made()
    figure = study_figures.over_strength(measures)
    complete = shortcut.with_lean(measures)
    panels = np.array(figure.axes).reshape(4, 2)
    assert [axes.get_title() for axes in panels[0]] == ["target twitter", "target windows"]
    for row, name in zip(panels, ("target", "validation", "shortcut", "lean"), strict=True):
        for axes, target in zip(row, ("twitter", "windows"), strict=True):
            lines = lines_of(axes)
            assert list(lines) == list(test_shortcut.METHODS)
            for method, (x, y, ends) in lines.items():
                if method not in complete[name][target][0.5]:
                    assert not x.size
                    continue
                np.testing.assert_allclose(x, [0.5, 1.0], atol=0.02)
                values = 100 * np.array([list(complete[name][target][s][method].values()) for s in (0.5, 1.0)])
                np.testing.assert_allclose(y, values.mean(axis=1))
                deviation = values.std(axis=1, ddof=1)
                np.testing.assert_allclose(ends, np.transpose([y - deviation, y + deviation]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(test_shortcut.METHODS)


def test_target_over_steps_and_over_validation():
    runs = {
        0: validations.History([20, 40, 60], [0.30, 0.36, 0.41], [0.2, 0.3, 0.4]),
        1: validations.History([20, 40, 60], [0.33, 0.38, 0.37], [0.1, 0.5, 0.2]),
    }
    figure = study_figures.over_training({"windows": {"deep_all": runs, "agr_sum": {0: runs[0]}, "pcgrad": {}}})
    above, below = (lines_of(axes) for axes in figure.axes)
    assert list(above) == list(below) == ["deep_all", "agr_sum", "pcgrad"]
    assert not above["pcgrad"][0].size and not below["pcgrad"][0].size
    x, y, ends = above["deep_all"]
    np.testing.assert_array_equal(x, [20, 40, 60])
    np.testing.assert_allclose(y, [15, 40, 30])
    np.testing.assert_allclose(ends[1], 40 + np.std([30, 50], ddof=1) * np.array([-1, 1]))
    # From 0.33, where the last of the two begins, to 0.38, which both reach.
    x, y, _ = below["deep_all"]
    np.testing.assert_allclose(x, [34, 36, 38])
    np.testing.assert_allclose(y, [(30 + 50) / 2, (30 + 50) / 2, (40 + 50) / 2])
    x, y, ends = below["agr_sum"]
    np.testing.assert_allclose(x, [30, 32, 34, 36, 38, 40])
    np.testing.assert_allclose(y, [20, 30, 30, 30, 40, 40])
    np.testing.assert_allclose(ends[:, 0], ends[:, 1])  # a single seed has no deviation


def test_levels_are_reached_whatever_the_rounding():
    for count in (3, 7, 13, 14, 29, 41):
        run = validations.History([20], [count / 50], [0.5])
        figure = study_figures.over_training({"windows": {"deep_all": {0: run}}})
        x, y, _ = lines_of(figure.axes[1])["deep_all"]
        np.testing.assert_allclose((x, y), ([2 * count], [50]))


def test_each_method_has_a_colour_and_a_marker_of_its_own():
    run = validations.History([20, 40], [0.2, 0.4], [0.2, 0.3])
    methods = [f"method {i}" for i in range(8)]
    figure = study_figures.over_training({"apple": {method: {0: run} for method in methods}})
    drawn = [container.lines[0] for container in figure.axes[0].containers]
    assert len({line.get_color() for line in drawn}) == len({line.get_marker() for line in drawn}) == 8
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "accuracy on validation in %"]
    assert pytest.approx(20) == drawn[0].get_ydata()[0]
