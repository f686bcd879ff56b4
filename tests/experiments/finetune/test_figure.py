import numpy as np

from experiments.finetune import figure as finetune_figure
from experiments.finetune import validations
from tests.analysis.drawn import lines_of


def test_target_over_steps_and_over_validation():
    runs = {
        0: validations.History([20, 40, 60], [0.30, 0.36, 0.41], [0.2, 0.3, 0.4]),
        1: validations.History([20, 40, 60], [0.33, 0.38, 0.37], [0.1, 0.5, 0.2]),
    }
    figure = finetune_figure.over_training({"windows": {"deep_all": runs, "agr_sum": {0: runs[0]}, "pcgrad": {}}})
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
        figure = finetune_figure.over_training({"windows": {"deep_all": {0: run}}})
        x, y, _ = lines_of(figure.axes[1])["deep_all"]
        np.testing.assert_allclose((x, y), ([2 * count], [50]))
