"""Trimmed mean and median against NumPy's sort."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dg_jax import surgery
from dg_jax.surgery import _fast
from tests import quick

numbers = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
stacks = arrays.arrays(np.float32, st.tuples(st.integers(1, 7), st.just(5)), elements=numbers)


def updated(combiner, rows):
    return combiner.update(jnp.asarray(rows), combiner.init(None))


@given(stacks)
def test_equals_numpy(rows):
    expected = np.median(rows.astype(np.float64), axis=0)
    rounding = {"rtol": 1e-5, "atol": 1e-6 * np.abs(rows).max() + 1e-37}  # smaller numbers are subnormal
    np.testing.assert_allclose(updated(surgery.median(), rows)[0], expected, **rounding)
    for trim in range((len(rows) + 1) // 2):
        expected = np.sort(rows.astype(np.float64), axis=0)[trim : len(rows) - trim].mean(axis=0)
        np.testing.assert_allclose(updated(surgery.trimmed_mean(trim), rows)[0], expected, **rounding)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 40])
def test_rows_are_sorted(n):
    rows = np.random.default_rng(n).integers(-3, 4, (n, 200)).astype(np.float32)
    found = quick.jit(_fast.sorted_rows)(list(rows))
    np.testing.assert_array_equal(np.stack(found), np.sort(rows, axis=0))


@pytest.mark.parametrize("n", [1, 3, 4, 17])
@pytest.mark.parametrize("position", [0, -1])
def test_a_nan_reaches_its_component_alone(n, position):
    rows = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    rows[position, 2] = np.nan
    for combiner in (surgery.median(), surgery.trimmed_mean((n - 1) // 2)):
        np.testing.assert_array_equal(np.isnan(updated(combiner, rows)[0]), [False, False, True, False])


def test_an_infinity_is_dropped_where_it_is_no_part_of_the_middle():
    rows = np.array([[np.inf, np.inf], [1, np.inf], [2, 0], [3, 1]], np.float32)
    np.testing.assert_array_equal(updated(surgery.trimmed_mean(1), rows)[0], [2.5, np.inf])
    np.testing.assert_array_equal(updated(surgery.median(), rows)[0], [2.5, np.inf])


def test_logs_the_share_of_components_in_which_all_signs_are_the_same():
    rows = {"w": jnp.array([[1.0, -1.0], [2.0, 1.0], [3.0, 1.0]]), "b": jnp.array([[-1.0], [-1.0], [-2.0]])}
    combiner = surgery.trimmed_mean()
    _, state = combiner.update(rows, combiner.init(None))
    np.testing.assert_allclose(state.agreement, 2 / 3)


@pytest.mark.parametrize("trim", [-1, 1.0, True, jnp.ones([], int)])
def test_a_wrong_number_of_rows_is_named(trim):
    with pytest.raises(ValueError, match=r"trimmed_mean: trim=.*; it must be an integer of at least 0"):
        surgery.trimmed_mean(trim)


def test_more_than_there_are_cannot_be_dropped():
    with pytest.raises(ValueError, match="trim=2 drops 4 rows, but the gradients have 4; give at most 1"):
        updated(surgery.trimmed_mean(2), np.ones((4, 3), np.float32))


def test_under_inject_hyperparams_and_vmap():
    combiner = optax.inject_hyperparams(surgery.trimmed_mean, static_args=("trim",))(trim=1)
    stacks = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), jnp.float32)
    results = jax.jit(jax.vmap(lambda rows: combiner.update(rows, combiner.init(jnp.zeros(3)))[0]))(stacks)
    np.testing.assert_allclose(results, np.sort(stacks, axis=1)[:, 1:4].mean(axis=1), rtol=1e-5, atol=1e-6)
