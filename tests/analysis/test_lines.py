import pytest

from dg_jax import strategies
from experiments.finetune import figure as finetune_figure
from experiments.finetune import validations


def test_each_method_has_a_colour_and_a_marker_of_its_own():
    run = validations.History([20, 40], [0.2, 0.4], [0.2, 0.3])
    methods = list(strategies.PAPER)
    figure = finetune_figure.over_training({"apple": {method: {0: run} for method in methods}})
    drawn = [container.lines[0] for container in figure.axes[0].containers]
    assert len({line.get_color() for line in drawn}) == len({line.get_marker() for line in drawn}) == 8
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "accuracy on validation in %"]
    assert pytest.approx(20) == drawn[0].get_ydata()[0]


@pytest.mark.parametrize("targets", [1, 2, 4])
def test_the_legend_is_inside_the_figure_whatever_the_number_of_methods(targets):
    run, heights = validations.History([20, 40], [0.2, 0.4], [0.2, 0.3]), []
    for count in range(1, len(strategies.PAPER) + 1):
        methods = {method: {0: run} for method in strategies.PAPER[:count]}
        figure = finetune_figure.over_training({f"target {i}": methods for i in range(targets)})
        figure.canvas.draw()
        [legend] = figure.legends
        extent = legend.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
        assert [text.get_text() for text in legend.get_texts()] == list(methods)
        heights.append(extent.height)
    assert heights == sorted(heights) and heights[0] == heights[1]
