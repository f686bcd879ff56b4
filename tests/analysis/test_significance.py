"""The Wilcoxon test against a list of all sign assignments, and against SciPy where SciPy is exact."""

import itertools

import numpy as np
import pytest
from scipy import stats

from dg_jax.analysis import significance


def against_zero(differences):
    """Compares two methods whose accuracies differ by these differences."""
    differences = np.asarray(differences, float)
    return significance.compare(dict(enumerate(0.5 + differences)), dict.fromkeys(range(len(differences)), 0.5))


def enumerate_signs(differences):
    """p and rank-biserial correlation from all 2^n ways to sign the ranks."""
    differences = [d for d in differences if d != 0]
    sizes = [abs(d) for d in differences]
    ranks = [np.mean([i + 1 for i, other in enumerate(sorted(sizes)) if other == size]) for size in sizes]
    observed = sum(rank * np.sign(d) for rank, d in zip(ranks, differences, strict=True))
    sums = [np.dot(signs, ranks) for signs in itertools.product((-1, 1), repeat=len(ranks))]
    p = np.mean([abs(s) >= abs(observed) - 1e-9 for s in sums])
    return p, observed / sum(ranks) if ranks else 0.0


@pytest.mark.parametrize("num_pairs", range(1, 11))
@pytest.mark.parametrize("kinds", [2, 4, 1000])  # the number of sizes: few sizes make ties and zeros
def test_equals_going_through_all_signs(num_pairs, kinds):
    rng = np.random.default_rng(num_pairs)
    for _ in range(4):
        differences = rng.integers(-kinds, kinds + 1, num_pairs) / 4096  # binary fractions are not rounded
        result = against_zero(differences)
        p, rank_biserial = enumerate_signs(differences)
        np.testing.assert_allclose((result.p, result.rank_biserial), (p, rank_biserial), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(result.mean_difference, differences.mean(), atol=1e-9)
        assert result.differing == np.count_nonzero(differences)


@pytest.mark.parametrize("num_pairs", [6, 20, 50])
def test_equals_scipy_without_ties(num_pairs):
    rng = np.random.default_rng(num_pairs)
    for shift in (0.0, 0.2, 0.5):
        differences = rng.permutation(num_pairs) + 1.0
        differences *= np.where(rng.random(num_pairs) < 0.5 + shift, 1, -1)
        expected = stats.wilcoxon(differences, method="exact").pvalue
        np.testing.assert_allclose(against_zero(differences / 4096).p, expected, rtol=1e-9)


def test_equal_differences_that_floats_tell_apart_are_ties():
    ours, baseline = {0: 0.7, 1: 0.8, 2: 0.5}, {0: 0.6, 1: 0.7, 2: 0.6}
    assert len({abs(ours[i] - baseline[i]) for i in ours}) > 1
    result = significance.compare(ours, baseline)
    assert (result.p, result.rank_biserial) == (1.0, pytest.approx(1 / 3))


def test_pairs_without_a_difference_are_left_out_before_scipy_chooses_how_to_compute():
    differences = (np.arange(15) + 1.0) * np.where(np.random.default_rng(0).random(15) < 0.7, 1, -1) / 4096
    exact = stats.wilcoxon(differences, method="exact").pvalue
    assert against_zero([*differences, 0.0, 0.0]).p == pytest.approx(exact, rel=1e-9)
    assert stats.wilcoxon([*differences, 0.0, 0.0]).pvalue != pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_accuracy_that_is_not_finite_is_an_error(value):
    with pytest.raises(ValueError, match="the accuracy of seed 1 is not finite"):
        significance.compare({0: 0.5, 1: value}, {0: 0.4, 1: 0.4})
    with pytest.raises(ValueError, match="the accuracy of seed 1 is not finite"):
        significance.compare({0: 0.5, 1: 0.4}, {0: 0.4, 1: value})
    assert significance.compare({0: 0.5, 1: value}, {0: 0.4}).seeds == (0,)


def test_all_differences_zero():
    result = against_zero(np.zeros(8))
    assert (result.p, result.rank_biserial, result.mean_difference) == (1.0, 0.0, 0.0)
    assert (len(result.seeds), result.differing, result.can_reach_significance) == (8, 0, False)


@pytest.mark.parametrize("differing", range(1, 9))
def test_can_reach_significance_is_whether_the_best_case_does(differing):
    best_case = against_zero([*range(1, differing + 1), 0, 0])
    assert best_case.rank_biserial == 1 and best_case.differing == differing
    assert best_case.significant == best_case.can_reach_significance == (differing >= significance.FEWEST_PAIRS)
    alternating = against_zero([(-1) ** i * (i + 1) for i in range(differing)])
    assert alternating.can_reach_significance == best_case.can_reach_significance and not alternating.significant


def test_pairs_are_the_seeds_that_both_have():
    ours = {7: 0.9, 0: 0.5, 3: 0.7}
    result = significance.compare(ours, {3: 0.6, 7: 0.7, 11: 0.1})
    assert result.seeds == (3, 7)
    assert result.mean_difference == pytest.approx(0.15)
    assert result == significance.compare({3: 0.7, 7: 0.9}, {7: 0.7, 3: 0.6})


def test_swapping_the_methods_swaps_the_signs():
    rng = np.random.default_rng(1)
    a, b = (dict(enumerate(rng.integers(0, 100, 12) / 100)) for _ in range(2))
    one, other = significance.compare(a, b), significance.compare(b, a)
    assert one.p == pytest.approx(other.p)
    assert one.rank_biserial == pytest.approx(-other.rank_biserial)
    assert one.mean_difference == pytest.approx(-other.mean_difference)


def test_no_seed_in_common():
    with pytest.raises(ValueError, match="no seed in common"):
        significance.compare({0: 0.5}, {1: 0.5})


@pytest.mark.parametrize("size", [1, 2, 5])
def test_holms_correction_is_the_step_down_of_its_definition(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        values = rng.choice([0.001, 0.01, 0.02, 0.04, 0.3, 0.9], size).tolist()
        corrected = significance.holm(values)
        for value, found in zip(values, corrected, strict=True):
            smaller = [one for one in values if one <= value]
            # Over all p up to this one: the largest of p times the number of p that are not smaller.
            expected = max(min(1, one * sum(other >= one for other in values)) for one in smaller)
            assert found == pytest.approx(expected)
    assert significance.holm([]) == []
