import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dg_jax.objectives.erm import erm
from dg_jax.objectives.mixup import draw, mixup
from tests import quick
from tests.objectives.worlds import (
    KEY,
    apply_fn,
    apply_with_dropout,
    changed_rows,
    domain_batch,
    evaluate,
    with_other_images,
)

ERM = erm(apply_fn)


@functools.partial(quick.jit, static_argnums=1)
def second_domains(key, n):
    return draw(key, n, 0.2)[0]


@pytest.fixture
def lam(monkeypatch):
    """Sets every λ; Beta draws are also slow to compile."""

    def fix(value):
        monkeypatch.setattr(jax.random, "beta", lambda key, a, b, shape, dtype: jnp.full(shape, value, dtype))

    fix(0.5)
    return fix


def test_lambda_1_is_erm(lam):
    lam(1.0)
    batch = domain_batch()
    expected = evaluate(ERM, batch)
    chex.assert_trees_all_close(evaluate(mixup(apply_fn), batch), expected, rtol=1e-6)


def test_lambda_0_is_erm_of_the_second_domains(lam):
    lam(0.0)
    batch = domain_batch()
    second = np.asarray(second_domains(KEY, 3))
    expected = jax.tree.map(lambda leaf: leaf[second], evaluate(ERM, batch))
    chex.assert_trees_all_close(evaluate(mixup(apply_fn), batch), expected, rtol=1e-6)


@pytest.mark.usefixtures("lam")
def test_row_i_has_domain_i_and_its_second():
    batch, objective = domain_batch(), mixup(apply_fn)
    second = np.asarray(second_domains(KEY, 3))
    for domain in range(3):
        changed = changed_rows(objective, batch, with_other_images(batch, domain))
        assert changed == [domain in (row, second[row]) for row in range(3)]


@pytest.mark.usefixtures("lam")
def test_the_pairs_are_one_random_circle():
    seen = set()
    for seed in range(40):
        second = second_domains(jax.random.key(seed), 4).tolist()
        circle = [0]
        while len(circle) < 4:
            circle.append(second[circle[-1]])
        assert sorted(circle) == [0, 1, 2, 3] and second[circle[-1]] == 0
        seen.add(tuple(circle))
    assert len(seen) == 6


@pytest.mark.usefixtures("lam")
def test_a_single_domain_is_mixed_with_itself():
    batch = domain_batch(1)
    expected = evaluate(ERM, batch)
    chex.assert_trees_all_close(evaluate(mixup(apply_fn), batch), expected, rtol=1e-5, atol=1e-6)


def test_lambda_is_beta_distributed_and_never_nan():
    lams = np.asarray(quick.jit(draw, static_argnums=1)(KEY, 100_000, 0.2)[1], np.float64)
    assert lams.min() >= 0 and lams.max() <= 1
    # Only below 1/2: above, float32 rounds two percent of the draws to 1. The distribution is symmetric.
    small = lams[lams < 0.5]
    assert stats.binomtest(len(small), len(lams)).pvalue > 0.01
    assert stats.kstest(small, lambda lam: 2 * stats.beta(0.2, 0.2).cdf(lam)).pvalue > 0.01


def test_dropout_differs_between_the_rows(lam):
    lam(1.0)
    one = domain_batch(1)
    same = {name: np.repeat(leaf, 3, axis=0) for name, leaf in one.items()}
    losses, _ = evaluate(mixup(apply_with_dropout), same)
    assert len(set(losses.tolist())) == 3


@pytest.mark.parametrize("alpha", [0.0, -0.2])
def test_alpha_must_be_above_zero(alpha):
    with pytest.raises(ValueError, match="mixup: alpha="):
        mixup(apply_fn, alpha=alpha)
