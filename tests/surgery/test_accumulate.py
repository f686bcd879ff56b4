"""Gradients accumulated one by one give the same results as stacked ones."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference

BROKEN = [None, np.nan, np.inf, -np.inf]
SHAPES = [(1, [()]), (3, [(2, 3, 4), (7,)]), (4, [(7,), (0,)])]


def row(stacked, i):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), stacked)


def accumulated(stacked):
    n = len(jax.tree.leaves(stacked)[0])
    return functools.reduce(lambda before, i: surgery.accumulate(row(stacked, i), before), range(n), None)


def of_combiner(factory, stacked, state, accumulate_rows=accumulated):
    """Results and states of a combiner on stacked and on accumulated gradients, by ``zeros``."""
    both = (jax.tree.map(jnp.asarray, stacked), accumulate_rows(stacked))
    combiners = {zeros: factory(zeros=zeros) for zeros in reference.ZEROS}
    return {name: [one.update(given, state) for given in both] for name, one in combiners.items()}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("factory", [surgery.agr_sum, surgery.agr_rand])
def test_accumulated_equals_stacked_bit_for_bit(factory, jit):
    compare = functools.partial(of_combiner, factory)
    if jit:
        compare = jax.jit(compare)

    @given(
        stacked=reference.stacks(of_shapes=SHAPES),
        zeros=st.sampled_from(reference.ZEROS),
        broken=st.sampled_from(BROKEN),
    )
    def check(stacked, zeros, broken):
        if broken is not None:
            stacked["leaf0"].reshape(-1)[:1] = broken
        if len(stacked) > 1:  # one leaf of each dtype
            stacked["leaf0"] = stacked["leaf0"].astype(jnp.bfloat16)
        (gradient, state), (same, same_state) = compare(stacked, factory().init(None))[zeros]
        chex.assert_trees_all_equal_shapes_and_dtypes(gradient, same)
        for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
            np.testing.assert_array_equal(np.asarray(one, np.float32), np.asarray(other, np.float32))
        np.testing.assert_array_equal(state.agreement, same_state.agreement)

    check()


@given(stacked=reference.stacks(scales=(1.0,), of_shapes=SHAPES))
def test_sum_minimum_and_maximum_are_those_of_the_rows(stacked):
    result = accumulated(stacked)
    for name, leaf in stacked.items():
        np.testing.assert_allclose(result[name].total, leaf.sum(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(result[name].smallest, leaf.min(axis=0))
        np.testing.assert_array_equal(result[name].largest, leaf.max(axis=0))
        assert result[name].num_rows == len(leaf)


def test_narrow_gradients_are_summed_in_float32():
    rows = np.full((9, 2), 1 + 2**-7, jnp.bfloat16)
    result = accumulated(rows)
    assert result.total.dtype == jnp.float32 and result.smallest.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result.total, np.full(2, 9 * (1 + 2**-7), np.float32))


def scanned(rows):
    start = surgery.accumulate(rows[0])
    return jax.lax.scan(lambda before, row: (surgery.accumulate(row, before), None), start, rows[1:])[0]


of_scan = jax.jit(functools.partial(of_combiner, surgery.agr_rand, accumulate_rows=scanned))


@pytest.mark.parametrize("zeros", reference.ZEROS)
@pytest.mark.parametrize("n", [1, 4])
def test_in_a_scan_the_number_of_rows_is_counted(n, zeros):
    rows = np.abs(np.random.default_rng(0).normal(size=(n, 5))).astype(np.float32)
    rows[:, 2] = 0
    (expected, expected_state), (gradient, state) = of_scan(rows, surgery.agr_rand().init(None))[zeros]
    np.testing.assert_array_equal(gradient, expected)
    assert state.agreement == expected_state.agreement == (0.8 if zeros == "conflict" and n > 1 else 1)


def test_gradients_that_do_not_fit_are_errors():
    first = surgery.accumulate({"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"\['b'\] is float32 \(1,\), but float32 \(3,\) in the gradients before"):
        surgery.accumulate({"w": np.ones((2, 3), np.float32), "b": np.ones(1, np.float32)}, first)
    with pytest.raises(ValueError, match=r"\['w'\] is bfloat16 \(2, 3\), but float32 \(2, 3\)"):
        surgery.accumulate({"w": np.ones((2, 3), jnp.bfloat16), "b": np.ones(3, np.float32)}, first)
    with pytest.raises(ValueError, match=r"has the leaves \['w'\], but before= has \['b'\], \['w'\]"):
        surgery.accumulate({"w": np.ones((2, 3), np.float32)}, first)
    plain = {"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match="it must be what accumulate returned"):
        surgery.accumulate(plain, plain)
    with pytest.raises(ValueError, match="accumulated already; give it as before="):
        surgery.accumulate(first)
    with pytest.raises(ValueError, match="some leaves are accumulated and others are not"):
        surgery.agr_sum().update({"w": first["w"], "b": np.ones((2, 3), np.float32)}, surgery.agr_sum().init(None))
    with pytest.raises(ValueError, match="accumulate: the gradient has no leaves"):
        surgery.accumulate({})


@pytest.mark.parametrize("factory", [surgery.pcgrad, surgery.group_dro])
def test_combiners_that_need_the_gramian_say_so(factory):
    combiner, accumulated = factory(), surgery.accumulate(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"does not take form='accumulated', only 'stacked' or 'two_pass'"):
        combiner.update(accumulated, combiner.init(None), losses=np.ones(1, np.float32))
