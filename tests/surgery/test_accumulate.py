"""Gradients accumulated one by one give what stacked ones give."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference

BROKEN = [None, np.nan, np.inf, -np.inf]


def row(stacked, i):
    return jax.tree.map(lambda leaf: leaf[i], stacked)


def accumulated(stacked):
    n = len(jax.tree.leaves(stacked)[0])
    return functools.reduce(lambda before, i: surgery.accumulate(row(stacked, i), before), range(n), None)


def of_combiner(make, stacked):
    """What a combiner makes of stacked and of accumulated gradients."""
    combiner = make()
    results = [combiner.update(given, combiner.init(None)) for given in (stacked, accumulated(stacked))]
    return [(gradient, state._replace(key=0) if hasattr(state, "key") else state) for gradient, state in results]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("factory", [surgery.agr_sum, surgery.agr_rand])
def test_accumulated_equals_stacked_bit_for_bit(factory, jit):
    @settings(max_examples=8)  # each compiles
    @given(
        stacked=reference.stacks(),
        zeros_agree=st.booleans(),
        broken=st.sampled_from(BROKEN),
        dtype=st.sampled_from([jnp.float32, jnp.bfloat16]),
    )
    def check(stacked, zeros_agree, broken, dtype):
        if broken is not None:
            stacked["leaf0"].reshape(-1)[:1] = broken
        stacked = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stacked)
        compare = functools.partial(of_combiner, functools.partial(factory, zeros_agree=zeros_agree))
        (gradient, state), (same, same_state) = (jax.jit(compare) if jit else compare)(stacked)
        chex.assert_trees_all_equal_shapes_and_dtypes(gradient, same)
        for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
            np.testing.assert_array_equal(np.asarray(one, np.float32), np.asarray(other, np.float32))
        np.testing.assert_array_equal(state.agreement, same_state.agreement)

    check()


@settings(max_examples=12)
@given(stacked=reference.stacks(scales=(1.0,)))
def test_sum_minimum_and_maximum_are_those_of_the_rows(stacked):
    result = accumulated(jax.tree.map(jnp.asarray, stacked))
    for name, leaf in stacked.items():
        np.testing.assert_allclose(result.total[name], leaf.sum(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(result.smallest[name], leaf.min(axis=0))
        np.testing.assert_array_equal(result.largest[name], leaf.max(axis=0))
        assert result.num_rows == len(leaf)


def test_narrow_gradients_are_summed_in_float32():
    rows = jnp.full((9, 2), 1 + 2**-7, jnp.bfloat16)
    result = accumulated(rows)
    assert result.total.dtype == jnp.float32 and result.smallest.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result.total, np.full(2, 9 * (1 + 2**-7), np.float32))


@pytest.mark.parametrize("zeros_agree", [True, False])
@pytest.mark.parametrize("n", [1, 4])
def test_in_a_scan_the_number_of_rows_is_counted(n, zeros_agree):
    rows = jnp.abs(jax.random.normal(jax.random.key(0), (n, 5))).at[:, 2].set(0)

    @jax.jit
    def scanned(rows):
        start = surgery.accumulate(rows[0])
        return jax.lax.scan(lambda before, row: (surgery.accumulate(row, before), None), start, rows[1:])[0]

    combiner = surgery.agr_rand(zeros_agree=zeros_agree)
    gradient, state = combiner.update(scanned(rows), combiner.init(None))
    expected, expected_state = combiner.update(rows, combiner.init(None))
    np.testing.assert_array_equal(gradient, expected)
    assert state.agreement == expected_state.agreement == (1 if zeros_agree or n == 1 else 0.8)


def test_gradients_that_do_not_fit_are_errors():
    first = surgery.accumulate({"w": jnp.ones((2, 3)), "b": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"\['b'\] is float32 \(1,\), but float32 \(3,\) in the gradients before"):
        surgery.accumulate({"w": jnp.ones((2, 3)), "b": jnp.ones(1)}, first)
    with pytest.raises(ValueError, match=r"\['w'\] is bfloat16 \(2, 3\), but float32 \(2, 3\)"):
        surgery.accumulate({"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(3)}, first)
    with pytest.raises(ValueError):  # noqa: PT011 JAX's own, which names the difference
        surgery.accumulate({"w": jnp.ones((2, 3))}, first)
    with pytest.raises(ValueError, match="accumulated gradients: the tree has no leaves"):
        surgery.accumulate({})


@pytest.mark.parametrize("factory", [surgery.deep_all, surgery.pcgrad, surgery.group_dro])
def test_combiners_that_need_the_rows_say_so(factory):
    combiner = factory()
    with pytest.raises(ValueError, match="these are accumulated, which only agr_sum and agr_rand take"):
        combiner.update(surgery.accumulate(jnp.ones(3)), combiner.init(None), losses=jnp.ones(1))
