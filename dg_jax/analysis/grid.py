"""The best of a grid search over learning rate and weight decay."""

from collections.abc import Mapping

# (learning rate, weight decay) -> mean validation accuracy as a fraction
Grid = Mapping[tuple[float, float], float]


def best(grid: Grid) -> tuple[float, float]:
    """Returns the pair with the highest accuracy; on ties the smaller learning rate, then the smaller weight decay."""
    raise NotImplementedError


def to_markdown(grid: Grid) -> str:
    """Returns a row for each learning rate and a column for each weight decay, in percent, the best in bold."""
    raise NotImplementedError
