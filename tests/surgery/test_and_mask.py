"""AND-mask against a NumPy reference, and against Agr-Sum."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dg_jax import surgery

numbers = st.one_of(st.just(0.0), st.floats(-(2.0**50), 2.0**50, width=32))
stacks = arrays.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(6)), elements=numbers)


def and_mask(rows, threshold, rescale):
    """The rule on one leaf [N, n]; votes are compared as whole numbers."""
    votes = np.abs((rows > 0).sum(axis=0) - (rows < 0).sum(axis=0))
    mask = votes >= np.round(threshold * len(rows), 6)
    mean = rows.astype(np.float64).mean(axis=0)
    return mask * mean / (1e-10 + mask.mean() if rescale else 1)


def updated(combiner, rows):
    return combiner.update(jnp.asarray(rows), combiner.init(None))


@given(stacks, st.sampled_from([0.0, 0.2, 0.5, 0.6, 1.0]), st.booleans())
def test_equals_its_statement(rows, threshold, rescale):
    rows = np.where(np.abs(rows) < 1e-30, 0, rows)  # subnormal numbers have no sign where they are flushed to zero
    found = updated(surgery.and_mask(threshold, rescale), rows)[0]
    expected = and_mask(rows, threshold, rescale)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(np.abs(rows).max(), 1e-30))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16])
def test_with_threshold_one_it_is_agr_sum_over_n(n):
    rows = np.random.default_rng(n).normal(1, 1, size=(n, 100)).astype(np.float32)
    agr_sum, _ = updated(surgery.agr_sum(), rows)
    np.testing.assert_allclose(updated(surgery.and_mask(rescale=False), rows)[0], agr_sum / n, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("rescale", [True, False])
def test_with_threshold_one_it_takes_accumulated_gradients(n, rescale):
    rows = np.random.default_rng(n).integers(-1, 3, size=(n, 40)).astype(np.float32)
    rows[0, 7] = np.nan
    combiner, accumulated = surgery.and_mask(rescale=rescale), None
    for row in rows:
        accumulated = surgery.accumulate(jnp.asarray(row), accumulated)
    found, state = combiner.update(accumulated, combiner.init(None))
    expected, of_stacked = updated(combiner, rows)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found[7]) and np.isfinite(found[8:]).all() and state == of_stacked
    np.testing.assert_allclose(found[8:], updated(surgery.and_mask(jnp.ones([]), rescale), rows)[0][8:], rtol=1e-6)
    with pytest.raises(ValueError, match="and_mask does not take form='accumulated'"):
        surgery.and_mask(0.9).update(accumulated, combiner.init(None))


def test_each_leaf_is_rescaled_by_the_share_that_is_kept():
    rows = {"half": jnp.array([[1.0, 1.0], [1.0, -1.0]]), "none": jnp.array([[1.0], [-1.0]]), "all": jnp.ones((2, 1))}
    combiner = surgery.and_mask()
    result, state = combiner.update(rows, combiner.init(None))
    assert {name: leaf.tolist() for name, leaf in result.items()} == {"half": [2, 0], "none": [0], "all": [1]}
    np.testing.assert_allclose(state.agreement, 0.5)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_a_broken_gradient_is_not_masked(broken, threshold):
    rows = np.array([[1, -1, 2], [1, broken, 2], [1, 1, -2]], np.float32)
    result = np.asarray(updated(surgery.and_mask(threshold), rows)[0])
    assert not np.isfinite(result[1]) and np.isfinite(result[[0, 2]]).all()


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_out_of_range_is_named(threshold):
    with pytest.raises(ValueError, match=f"and_mask: threshold={threshold}; it must be a number from 0 to 1"):
        surgery.and_mask(threshold)


def test_a_traced_threshold_passes():
    combiner = optax.inject_hyperparams(surgery.and_mask, static_args=("rescale",))(threshold=0.3)
    rows = np.random.default_rng(0).normal(size=(3, 9)).astype(np.float32)
    result, _ = combiner.update(jnp.asarray(rows), combiner.init(jnp.zeros(9)))
    np.testing.assert_allclose(result, and_mask(rows, 0.3, True), rtol=1e-5, atol=1e-6)
