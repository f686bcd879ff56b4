"""The five combiners of Table 1 on any float32 numbers, against plain NumPy in float64.

XLA on a CPU treats subnormal numbers as zeros and returns zeros for them, as many GPUs do. So the promise is: the
result is that of the numbers as they are, or of the numbers with subnormals set to zero. A sum beyond float32 is an
infinity.
"""

import functools

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference
from tests.surgery.test_pcgrad import update_and_orders

LARGEST, TINY = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
PRODUCTS = 16 * TINY  # a subnormal product of a number and a weight counts as zero too, once for each row
COMPONENTS = 5
NUM_ROWS = (1, 2, 3, 5, 8, 16)  # each is compiled once for each combiner
EXAMPLES = 500  # for each of the five combiners
ORDINARY = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3e-4, -7e-5, 1e4]
PALETTES = {
    "ordinary": ORDINARY,
    "any scale": [1e-30, -1e-30, 1e-12, 3.0, -3.0, -1e12, 1e30, -1e30, 0.0],
    "subnormal": [*ORDINARY, 1e-40, -1e-40, 1e-45, TINY, -TINY],
    "huge": [*ORDINARY, LARGEST, -LARGEST, LARGEST / 3, 1e37, -1e38],
    "broken": [*ORDINARY * 3, np.nan, np.inf, -np.inf, LARGEST],
    "one sign": [1.0, 0.5, 3e-4, 1e4, 1e-40, LARGEST / 100],
}


@st.composite
def stacks(draw):
    """Draws rows [N, 5], float32: from one palette or of any bits; some are zero, some identical."""
    shape = draw(st.sampled_from(NUM_ROWS)), COMPONENTS
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    palette = draw(st.sampled_from([*PALETTES, "normal", "any bits"]))
    if palette == "any bits":
        rows = rng.integers(0, 2**32, shape, np.uint32).view(np.float32)
    else:
        rows = rng.normal(size=shape) if palette == "normal" else rng.choice(PALETTES[palette], shape)
        rows = rows.astype(np.float32)
    special = draw(st.sampled_from(["as drawn", "a zero row", "identical rows", "opposite rows", "all zero"]))
    if special == "a zero row":
        rows[-1] = 0
    elif special == "identical rows":
        rows[:] = rows[0]
    elif special == "opposite rows":
        rows[1:2] = -rows[0]
    elif special == "all zero":
        rows[:] = 0
    return rows


@functools.partial(jax.jit, static_argnums=0)
def updated(name, stacked, state, extra):
    """The results and new states for each reading of zeros, all computed by one program."""
    if name.startswith("agr"):
        combiners = {zeros: getattr(surgery, name)(zeros=zeros) for zeros in reference.ZEROS}
    else:
        combiners = {"agree": getattr(surgery, name)()}
    return {reading: combiner.update(stacked, state, **extra) for reading, combiner in combiners.items()}


def tree(rows):
    return {"a": rows[:, :4].reshape(-1, 2, 2), "b": rows[:, 4]}


def combined(name, rows, state, zeros="agree", **extra):
    """Calls a combiner on a tree of two leaves; returns the result as [5] in float64, and the new state."""
    result, state = updated(name, tree(rows), state, extra)[zeros]
    return reference.flat_result(result), state


def readings(rows):
    """The rows in float64, as they are and with subnormals at zero; and which components are broken, set to zero."""
    broken = ~np.isfinite(rows).all(axis=0)
    whole = np.where(broken, 0, rows).astype(np.float64)
    return [whole, np.where(np.abs(whole) < TINY, 0, whole)], broken


def close(result, expected, atol):
    """Compares by component: equal up to rounding; a value beyond float32 may be infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(result - expected) <= 1e-5 * np.abs(expected) + atol + TINY
        overflown = np.isinf(result) & (np.abs(expected) + atol >= LARGEST * (1 - 1e-5))
    return near | overflown | (result == expected)


def check(result, candidates, broken, atol):
    """Checks that broken components are not finite, and that each other component is that of some candidate."""
    assert not np.isfinite(result[broken]).any()
    fits = np.any([close(result, expected, atol) for expected in candidates], axis=0)
    assert fits[~broken].all(), (result, candidates)


@settings(max_examples=EXAMPLES)
@given(rows=stacks())
def test_deep_all(rows):
    result, _ = combined("deep_all", rows, ())
    whole, broken = readings(rows)
    # XLA moves the weight, the same for all rows, out of the sum. Where the sum leaves float32, so does the mean.
    broken |= ~np.isfinite(result) & (np.abs(whole[0]).sum(axis=0) >= LARGEST * (1 - 1e-5))
    check(result, [of.mean(axis=0) for of in whole], broken, 1e-6 * np.abs(whole[0]).max(axis=0) + PRODUCTS)


def agreement_with(rows, broken, zeros):
    """The share of agreeing components, where a broken one counts as agreeing."""
    votes = reference.votes(rows, zeros) | broken
    return (reference.agree(rows, zeros) | broken)[votes].mean() if votes.any() else 1.0


@settings(max_examples=EXAMPLES)
@given(rows=stacks(), zeros=st.sampled_from(reference.ZEROS))
def test_agr_sum(rows, zeros):
    result, state = combined("agr_sum", rows, surgery.agr_sum().init(None), zeros)
    whole, broken = readings(rows)
    check(result, [reference.agr_sum(of, zeros) for of in whole], broken, 0)
    rates = [agreement_with(of, broken, zeros) for of in whole]
    assert any(abs(state.agreement - rate) < 1e-6 for rate in rates)


@settings(max_examples=EXAMPLES)
@given(rows=stacks(), zeros=st.sampled_from(reference.ZEROS), seed=st.integers(0, 2**31))
def test_agr_rand(rows, zeros, seed):
    result, state = combined("agr_rand", rows, surgery.agr_rand(seed).init(None), zeros)
    whole, broken = readings(rows)
    agreements = [reference.agree(of, zeros) | broken for of in whole]
    surely = np.logical_and.reduce(agreements)
    check(result[surely], [of.sum(axis=0)[surely] for of in whole], broken[surely], 0)
    noise, sigma = result[~np.logical_or.reduce(agreements)], float(state.sigma)
    if broken.any():
        assert not np.isfinite(sigma) and not np.isfinite(noise).any()
        return
    counted = [agrees & reference.votes(of, zeros) for of, agrees in zip(whole, agreements, strict=True)]
    sums = [np.abs(of.sum(axis=0)[which]) for of, which in zip(whole, counted, strict=True)]
    sigmas = np.array([of.mean() if of.size else 0.0 for of in sums])
    beyond = max(of.sum() for of in sums) >= LARGEST * (1 - 1e-4)  # float32 holds σ, but not the sum it is taken from
    assert (beyond and np.isinf(sigma)) or np.any(np.abs(sigma - sigmas) <= 1e-4 * sigmas + TINY)
    assert np.isfinite(noise).all() == (np.isfinite(sigma) or not noise.size) or sigma > LARGEST / 8
    assert np.all((np.abs(noise) <= 8 * sigma) | (np.isinf(noise) & (sigma > LARGEST / 8)))


@settings(max_examples=EXAMPLES)
@example(rows=np.array([[1e-19, 0, 0, 0, 0], [-1e38, 1e38, 0, 0, 0]], np.float32), seed=0)  # a weight of 1e57
@given(rows=stacks(), seed=st.integers(0, 2**31))
def test_pcgrad(rows, seed):
    result, after, orders = update_and_orders(tree(rows), surgery.pcgrad(seed).init(None))
    result, orders = reference.flat_result(result), np.asarray(orders)
    whole, broken = readings(rows)
    if broken.any():
        assert not np.isfinite(result[broken]).any()
        return
    norms = np.linalg.norm(whole[0], axis=1)
    least = norms[norms > 0].min(initial=1)
    beyond = ~np.isfinite(result) & (norms.max() * len(rows) * max(1, 1 / least) >= LARGEST / 16)  # so are the weights
    check(result, [reference.pcgrad(of, orders) for of in whole], beyond, 1e-4 * norms.sum() + PRODUCTS)
    assert np.isfinite([after.cosine_mean, after.cosine_min, after.conflicting]).all()


LOSSES = [0.0, 1.0, 2.5, -1.0, 30.0, 1e30, -1e30, 3e38]
BROKEN_LOSSES = [0.0, 1.0, np.nan, np.inf]


@settings(max_examples=EXAMPLES)
@given(rows=stacks(), losses=st.sampled_from([LOSSES, LOSSES, BROKEN_LOSSES]), seed=st.integers(0, 2**32 - 1))
def test_group_dro(rows, losses, seed):
    n = len(rows)
    losses = np.random.default_rng(seed).choice(losses, n).astype(np.float32)
    state = surgery.group_dro(num_rows=n).init(None)
    result, after = combined("group_dro", rows, state, losses=losses)
    if not np.isfinite(losses).all():
        assert np.isnan(result).all() and np.isnan(after.weights).all()
        return
    exponents = 0.01 * (losses.astype(np.float64) - losses.max())
    weights = np.exp(exponents) / np.exp(exponents).sum()
    np.testing.assert_allclose(after.weights, weights, rtol=1e-4, atol=1e-30)
    whole, broken = readings(rows)
    check(result, [weights @ of for of in whole], broken, 1e-4 * np.abs(whole[0]).max(axis=0) + PRODUCTS)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="says what XLA does on a CPU")
def test_what_is_said_of_subnormals_is_so_on_this_machine():
    rows = np.array([[1e-40] * 5, [1.0] * 5], np.float32)
    result, state = combined("agr_sum", rows, surgery.agr_sum().init(None))
    np.testing.assert_array_equal(result, 0)
    assert state.agreement == 0
