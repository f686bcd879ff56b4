import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference


@functools.partial(jax.jit, static_argnums=1)
def drawn_orders(key, n):
    """The orders that an update with ``key`` in its state draws for N rows."""
    order_key = jax.random.split(key)[1]
    return jax.random.permutation(order_key, jnp.tile(jnp.arange(n), (n, 1)), axis=1, independent=True)


eager_update = surgery.pcgrad().update  # does not depend on the seed, which is in the state
update = jax.jit(eager_update)


def eager_update_and_orders(stacked, state):
    return *eager_update(stacked, state), drawn_orders(state.key, len(jax.tree.leaves(stacked)[0]))


update_and_orders = jax.jit(eager_update_and_orders)  # one program, in which the orders are drawn once


@pytest.mark.parametrize("jit", [False, True])
def test_equals_equation_5_in_the_drawn_order(jit):
    of_shapes = reference.SHAPES if jit else reference.EAGER_SHAPES

    @given(stacked=reference.stacks((1e-25, 1e-12, 1.0, 1e12, 1e25), of_shapes), seed=st.integers(0, 2**31))
    def check(stacked, seed):
        rows = reference.flat(stacked)
        call = update_and_orders if jit else eager_update_and_orders
        result, _, orders = call(stacked, surgery.pcgrad(seed).init(None))
        tolerance = 1e-4 * np.linalg.norm(rows, axis=1).sum()
        np.testing.assert_allclose(
            reference.flat_result(result), reference.pcgrad(rows, np.asarray(orders)), rtol=1e-4, atol=tolerance
        )

    check()


@pytest.mark.parametrize("n", [1, 2, 7])  # the inner products of 7 rows are taken in another form
def test_equals_equation_5_on_long_rows(n):
    rows = np.random.default_rng(n).normal(size=(n, 40_003)).astype(np.float32)
    rows -= 0.5 * rows.mean(axis=0)  # so that they conflict
    stacked = {"long": rows[:, 3:], "short": rows[:, :3]}
    result, after, orders = update_and_orders(stacked, surgery.pcgrad(n).init(None))
    expected = reference.pcgrad(rows, np.asarray(orders))
    actual = np.concatenate([result["short"], result["long"]])
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert n < 3 or after.conflicting > 0


@pytest.mark.parametrize("seed", range(5))
def test_every_result_is_one_of_the_possible_orders_and_several_occur(seed):
    rows = np.random.default_rng(seed).normal(size=(3, 3)).astype(np.float32)
    rows[2] = -rows[0] - rows[1]
    choices = [
        [reference.project(rows.astype(np.float64), i, order) for order in itertools.permutations(range(3))]
        for i in range(3)
    ]
    possible = np.unique([np.round(sum(parts), 4) for parts in itertools.product(*choices)], axis=0)
    state, seen = surgery.pcgrad(seed).init(None), set()
    for _ in range(30):
        result, state = update(rows, state)
        distance = np.abs(possible - np.asarray(result)).max(axis=1)
        assert distance.min() < 1e-3
        seen.add(int(distance.argmin()))
    assert len(seen) > 1 or len(possible) == 1


def test_without_conflict_it_is_exactly_the_sum():
    rows = np.abs(np.random.default_rng(0).normal(size=(5, 40))).astype(np.float32)
    result, state = update(rows, surgery.pcgrad().init(None))
    np.testing.assert_array_equal(result, rows[0] + rows[1] + rows[2] + rows[3] + rows[4])
    assert state.conflicting == 0 and state.cosine_min > 0


def test_two_conflicting_gradients_end_up_normal_to_each_other():
    rows = np.array([[1.0, 0.0], [-1.0, 1.0]], np.float32)
    result, state = update(rows, surgery.pcgrad().init(None))
    np.testing.assert_allclose(result, [0.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose([state.cosine_mean, state.cosine_min], -np.sqrt(0.5), rtol=1e-6)


def test_logged_cosines_are_those_of_all_pairs():
    rows = np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(5, k=1)]
    _, state = update(rows, surgery.pcgrad().init(None))
    np.testing.assert_allclose(
        [state.cosine_mean, state.cosine_min, state.conflicting],
        [cosines.mean(), cosines.min(), (cosines < 0).mean()],
        atol=1e-6,
    )


def test_nothing_is_projected_on_a_zero_gradient():
    rows = np.array([[1.0, -2.0], [0.0, 0.0]], np.float32)
    result, state = update(rows, surgery.pcgrad().init(None))
    np.testing.assert_array_equal(result, rows[0])
    assert state.cosine_mean == 0
