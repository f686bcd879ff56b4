"""Tests whether one method is better than another: paired Wilcoxon signed-rank test (paper, section 4.4)."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.05
FEWEST_PAIRS = 6  # pairs that differ; with 5, p is at least 2 / 2**5 = 0.0625


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of comparing two methods in pairs.

    Attributes:
        seeds: the seeds that both methods have, ascending; each is a pair.
        differing: how many of the pairs differ; the test ranks only these.
        mean_difference: ours minus baseline, mean over all pairs, as a fraction.
        rank_biserial: effect size in [-1, 1], the matched-pairs rank-biserial correlation: the
            sum of the ranks in favour of ours minus the sum of those in favour of the baseline,
            divided by the sum of all. It is 1 if ours is higher in every pair that differs.
        p: the two-sided p-value, in (0, 1].
    """

    seeds: tuple[int, ...]
    differing: int
    mean_difference: float
    rank_biserial: float
    p: float

    @property
    def can_reach_significance(self) -> bool:
        """Whether these pairs could have had p < 0.05: if all have one sign, p is 2 / 2**differing."""
        return self.differing >= FEWEST_PAIRS

    @property
    def significant(self) -> bool:
        """Whether p < 0.05."""
        return self.p < LEVEL


def compare(ours: Mapping[int, float], baseline: Mapping[int, float]) -> Comparison:
    """Tests whether two methods differ, on the seeds that both have.

    Pairs without a difference are left out first, as Wilcoxon does. p is that of ``scipy.stats.wilcoxon`` with its
    defaults on the pairs that differ: two-sided, and equal differences share their mean rank. It is exact for up to 50
    pairs, or up to 13 if some differences are equal. Beyond that SciPy uses a normal distribution. (With all pairs, it
    would also use it for more than 13 pairs of which one has no difference.)

    Args:
        ours: accuracy of each seed, as a fraction.
        baseline: the same for the method to compare with.

    Raises:
        ValueError: they have no seed in common, or the accuracy of a common seed is not finite.

    Example:
        >>> baseline = {0: 0.50, 1: 0.52, 2: 0.48}
        >>> compare({0: 0.53, 1: 0.53, 2: 0.50, 3: 0.49}, baseline)
        Comparison(seeds=(0, 1, 2), differing=3, mean_difference=0.02, rank_biserial=1.0, p=0.25)
    """
    seeds = tuple(sorted(ours.keys() & baseline.keys()))
    if not seeds:
        raise ValueError("the two methods have no seed in common")
    broken = [seed for seed in seeds if not (np.isfinite(ours[seed]) and np.isfinite(baseline[seed]))]
    if broken:
        raise ValueError(f"the accuracy of seed {broken[0]} is not finite: {ours[broken[0]]}, {baseline[broken[0]]}")
    # 0.7 - 0.6 and 0.8 - 0.7 are not the same float. Rounding makes them equal again. It keeps other differences apart:
    # two counts over n images differ by 1/n or more.
    differences = np.round([ours[seed] - baseline[seed] for seed in seeds], 9)
    differing = differences[differences != 0]
    ranks = stats.rankdata(np.abs(differing))
    return Comparison(
        seeds=seeds,
        differing=len(differing),
        mean_difference=float(differences.mean()),
        rank_biserial=float(np.sign(differing) @ ranks / ranks.sum()) if len(differing) else 0.0,
        p=float(stats.wilcoxon(differing).pvalue) if len(differing) else 1.0,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Corrects the p-values of several tests, so that by chance one is below 0.05 in at most 1 of 20 such families.

    The smallest of m is multiplied by m, the next by m - 1, and so on; no value becomes smaller than the one before it.

    Returns:
        The corrected values, in the same order, at most 1.

    Example:
        >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
        [0.06, 0.03, 0.06]

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [0.0] * len(values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        largest = max(largest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = largest
    return corrected
