"""Mean cosines against a plain loop over pairs."""

import itertools

import numpy as np
import pytest

from dg_jax.analysis import similarity


def plain(gradients, domain):
    """Takes each pair by itself, from the vectors."""
    pairs = {}
    for i, j in itertools.permutations(range(len(gradients)), 2):
        norms = np.linalg.norm(gradients[i]) * np.linalg.norm(gradients[j])
        if norms:
            pairs.setdefault((domain[i], domain[j]), []).append(gradients[i] @ gradients[j] / norms)
    within = [cosine for (k, m), cosines in pairs.items() for cosine in cosines if k == m]
    between = [cosine for (k, m), cosines in pairs.items() for cosine in cosines if k != m]
    return pairs, np.mean(within), np.mean(between)


@pytest.mark.parametrize("counts", [(4, 4, 4), (2, 5), (3, 2, 7, 2)])
@pytest.mark.parametrize("with_a_zero", [False, True])
def test_means_over_all_pairs(counts, with_a_zero):
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(len(counts)), counts)
    gradients = rng.normal(size=(len(domain), 6)) * rng.uniform(0.1, 9, (len(domain), 1)) + domain[:, None]
    if with_a_zero:
        gradients[-1] = 0
    shuffled = rng.permutation(len(domain))
    result = similarity.mean_cosines((gradients @ gradients.T)[shuffled][:, shuffled], domain[shuffled])
    pairs, intra, inter = plain(gradients, domain)
    np.testing.assert_allclose([result.intra, result.inter], [intra, inter], rtol=1e-12)
    for (k, m), value in np.ndenumerate(result.domains):
        np.testing.assert_allclose(value, np.mean(pairs[k, m]) if (k, m) in pairs else np.nan, rtol=1e-12)


def test_a_sample_is_not_its_own_pair():
    gradients = np.eye(4)
    result = similarity.mean_cosines(gradients @ gradients.T, np.array([0, 0, 1, 1]))
    assert result.intra == 0
    assert (result.domains == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_gradient_is_not_hidden(value):
    gradients = np.ones((4, 2))
    gradients[1] = value
    result = similarity.mean_cosines(gradients @ gradients.T, np.array([0, 0, 1, 1]))
    assert np.isnan(result.intra) and np.isnan(result.inter)
    assert np.isnan(result.domains).all()
