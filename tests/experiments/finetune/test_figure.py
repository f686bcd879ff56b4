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
    assert not below["deep_all"][0].size  # the others are compared to it
    assert figure.axes[1].get_ylabel() == "accuracy on the target\nminus deep_all, in points"


def test_below_are_differences_to_the_first_method_at_equal_validation_in_pairs_of_seeds():
    first = {
        0: validations.History([20, 40, 60], [0.30, 0.36, 0.41], [0.2, 0.3, 0.4]),
        1: validations.History([20, 40, 60], [0.33, 0.38, 0.37], [0.1, 0.5, 0.2]),
    }
    other = {
        0: validations.History([20, 40], [0.31, 0.40], [0.25, 0.45]),
        1: validations.History([20, 40], [0.30, 0.39], [0.3, 0.45]),
        2: validations.History([20, 40], [0.30, 0.39], [0.9, 0.9]),  # in no pair
    }
    figure = finetune_figure.over_training({"windows": {"deep_all": first, "agr_sum": other, "pcgrad": {0: other[0]}}})
    # From 0.33, where the last of the four runs begins, to 0.38, which all reach.
    x, y, ends = lines_of(figure.axes[1])["agr_sum"]
    np.testing.assert_allclose(x, [34 - 0.15, 36 - 0.15, 38 - 0.15])
    np.testing.assert_allclose(y, [(15 - 5) / 2, (15 - 5) / 2, (5 - 5) / 2])
    np.testing.assert_allclose(ends[0], 5 + np.std([15, -5], ddof=1) * np.array([-1, 1]))
    x, y, ends = lines_of(figure.axes[1])["pcgrad"]
    np.testing.assert_allclose(x, [32 + 0.15, 34 + 0.15, 36 + 0.15, 38 + 0.15, 40 + 0.15])
    np.testing.assert_allclose(ends[:, 0], ends[:, 1])  # a single seed has no deviation


def test_levels_are_reached_whatever_the_rounding():
    for count in (3, 7, 13, 14, 29, 41):
        run, other = (validations.History([20], [count / 50], [accuracy]) for accuracy in (0.5, 0.6))
        figure = finetune_figure.over_training({"windows": {"deep_all": {0: run}, "agr_sum": {0: other}}})
        x, y, _ = lines_of(figure.axes[1])["agr_sum"]
        np.testing.assert_allclose((x, y), ([2 * count], [10]))
