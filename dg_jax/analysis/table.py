"""Table 1: accuracies by target and method, and a test of each method against the baseline."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from dg_jax.analysis import significance

# target -> method -> seed -> accuracy as a fraction in [0, 1]
Accuracies = Mapping[str, Mapping[str, Mapping[int, float]]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One method on one target.

    Attributes:
        accuracies: of each seed, at least one, as fractions in [0, 1].
        comparison: against the baseline; ``None`` for the baseline itself, and where the two have
            no seed in common.
        best: whether no method has a higher mean on this target, in the digits that are printed.
    """

    accuracies: Mapping[int, float]
    comparison: significance.Comparison | None
    best: bool

    @property
    def mean(self) -> float:
        """Mean over seeds, as a fraction."""
        return statistics.fmean(self.accuracies.values())

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds (divided by n - 1), as a fraction; ``None`` for a single seed."""
        return statistics.stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline with p < 0.05."""
        return self.comparison is not None and self.comparison.significant


@dataclasses.dataclass(frozen=True)
class Table:
    """The content of Table 1.

    Attributes:
        targets: the rows, in order.
        methods: the columns, in order.
        baseline: the method that the others are compared to.
        cells: target -> method -> cell; only cells with at least one seed.
        baseline_seeds: target -> the seeds of the baseline on it.
    """

    targets: tuple[str, ...]
    methods: tuple[str, ...]
    baseline: str
    cells: Mapping[str, Mapping[str, Cell]]
    baseline_seeds: Mapping[str, frozenset[int]]

    @property
    def comparisons(self) -> list[tuple[str, str, significance.Comparison]]:
        """All tests made, as target, method and comparison, in the table's order."""
        return [
            (target, method, cell.comparison)
            for target in self.targets
            for method, cell in self.cells[target].items()
            if cell.comparison is not None
        ]

    @property
    def averaged(self) -> tuple[str, ...]:
        """The targets on which all methods have a run; the average is over these."""
        return tuple(target for target in self.targets if len(self.cells[target]) == len(self.methods))

    @property
    def averages(self) -> dict[str, float]:
        """For each method the mean of the targets' means; empty if no target has all methods.

        As in the paper, an average has no deviation, no test and no best.
        """
        if not self.averaged:
            return {}
        return {
            method: statistics.fmean(self.cells[target][method].mean for target in self.averaged)
            for method in self.methods
        }


def summarize(
    accuracies: Accuracies, methods: Sequence[str], targets: Sequence[str], baseline: str = "deep_all"
) -> Table:
    """Makes the table of some methods on some targets.

    Args:
        accuracies: target -> method -> seed -> accuracy; what is missing here is missing in the table.
        methods: the columns wanted, in order.
        targets: the rows wanted, in order.
        baseline: the method that the others are compared to, whether it is a column or not.

    Raises:
        ValueError: an accuracy is not in [0, 1].

    Example:
        >>> accuracies = {"photo": {"deep_all": {0: 0.5, 1: 0.7}, "agr_sum": {0: 0.7, 1: 0.8}}}
        >>> cell = summarize(accuracies, ["deep_all", "agr_sum"], ["photo"]).cells["photo"]["agr_sum"]
        >>> cell.mean, cell.best, cell.comparison.can_reach_significance
        (0.75, True, False)
    """
    cells = {target: _row(accuracies.get(target, {}), target, methods, baseline) for target in targets}
    baseline_seeds = {target: frozenset(accuracies.get(target, {}).get(baseline, {})) for target in targets}
    return Table(tuple(targets), tuple(methods), baseline, cells, baseline_seeds)


def _row(
    accuracies: Mapping[str, Mapping[int, float]], target: str, methods: Sequence[str], baseline: str
) -> dict[str, Cell]:
    present = {method: accuracies[method] for method in methods if accuracies.get(method)}
    for method, seeds in present.items():
        for seed, accuracy in seeds.items():
            if not 0 <= accuracy <= 1:
                raise ValueError(f"the accuracy of {method} on {target}, seed {seed}, is {accuracy}: not in [0, 1]")
    highest = max((_as_printed(seeds) for seeds in present.values()), default=0.0)
    return {
        method: Cell(seeds, _comparison(method, seeds, baseline, accuracies), _as_printed(seeds) == highest)
        for method, seeds in present.items()
    }


def _comparison(
    method: str, seeds: Mapping[int, float], baseline: str, accuracies: Mapping[str, Mapping[int, float]]
) -> significance.Comparison | None:
    others = accuracies.get(baseline, {})
    if method == baseline or not seeds.keys() & others.keys():
        return None
    return significance.compare(seeds, others)


def _as_printed(seeds: Mapping[int, float]) -> float:
    return round(100 * statistics.fmean(seeds.values()), 2)
