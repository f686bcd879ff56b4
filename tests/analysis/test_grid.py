import pytest

from dg_jax.analysis import grid
from tests.analysis import made_accuracies

GRID = {(1e-3, 0.0): 0.5, (1e-4, 0.0): 0.61, (1e-4, 5e-5): 0.61, (0.5, 5e-5): 0.25, (1e-3, 5e-5): 0.61}


def test_the_smaller_of_equals_is_best():
    assert grid.best(GRID) == (1e-4, 0.0)
    assert grid.best(GRID | {(1e-3, 0.0): 0.62}) == (1e-3, 0.0)
    assert grid.best({(1e-5, 0.0): None} | GRID | {(1e-4, 0.0): None}) == (1e-4, 5e-5)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1e-4, "1e-4 is the smallest learning rate tried; a smaller one may do better."),
        (1e-3, ""),
        (0.5, "0.5 is the largest learning rate tried; a larger one may do better."),
    ],
)
def test_the_end_of_the_rates_tried_is_said(rate, said):
    assert grid.hint(GRID | {(rate, 5e-5): 0.7}) == said
    assert grid.hint({(rate, 5e-5): 0.7}) == ""


def test_markdown():
    assert made_accuracies.parse_markdown(grid.to_markdown(GRID | {(0.5, 0.0): None, (1.0, 5e-5): 0.01})) == [
        [
            ["learning rate", "weight decay 0", "weight decay 5e-5"],
            ["1e-4", "**61.00**", "61.00"],
            ["1e-3", "50.00", "61.00"],
            ["0.5", "failed", "25.00"],
            ["1", "-", "1.00"],
        ]
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1e-5, "1e-5"), (5.5e-4, "5.5e-4"), (0.01, "1e-2"), (0.1, "0.1"), (2.0, "2")]
)
def test_numbers_are_short_and_the_same_when_typed(value, text):
    assert grid.number(value) == text and float(text) == value
