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
