"""Each fast form for a device against the plain expression that it replaces."""

import os
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from dg_jax import surgery
from dg_jax.surgery import _fast
from tests.surgery import reference

COUNT = 2**20
normal = jax.jit(_fast.normal, static_argnums=(1, 2))


def plain_hash(words, places):
    """The hash in plain NumPy."""
    x = places.astype(np.uint32)
    for word, (a, b, c, d, e) in zip(
        words, [(16, 0x21F0AAAD, 15, 0x735A2D97, 15), (16, 0x7FEB352D, 15, 0x846CA68B, 16)], strict=True
    ):
        x = x ^ np.uint32(word)
        x = (x ^ (x >> np.uint32(a))) * np.uint32(b)
        x = (x ^ (x >> np.uint32(c))) * np.uint32(d)
        x = x ^ (x >> np.uint32(e))
    return x


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize(("start", "stop"), [(0, 4096), (3, 20), (2**31 - 5, 2**31 + 5), (2**32 - 9, 2**32)])
def test_equals_the_hash_in_plain_numpy(impl, start, stop):
    key = jax.random.key(7, impl=impl)
    words = np.asarray(jax.random.bits(key, (2,)))
    hashed = plain_hash(words, np.arange(start, stop, dtype=np.uint64))
    uniform = (2 * (hashed.view(np.int32) >> 8).astype(np.float64) + 1) / 2**24
    np.testing.assert_allclose(normal(key, start, stop), np.sqrt(2) * special.erfinv(uniform), rtol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_is_normal_and_neighbours_and_keys_are_not_correlated(seed):
    draws = np.asarray(normal(jax.random.key(seed), 0, COUNT), np.float64)
    assert stats.kstest(draws, "norm").pvalue > 1e-4
    # Moments of N(0, 1), each within five standard errors.
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(draws**power) - expected) < 5 * np.sqrt(variance / COUNT)
    for lag in (1, 2, 3, 8, 256, 4096, 2**16):
        assert abs(np.mean(draws[lag:] * draws[:-lag])) < 5 / np.sqrt(COUNT - lag)
        assert abs(np.corrcoef(draws[lag:] ** 2, draws[:-lag] ** 2)[0, 1]) < 5 / np.sqrt(COUNT - lag)
    for other in (jax.random.key(seed + 100), *jax.random.split(jax.random.key(seed))):
        assert abs(np.mean(draws * np.asarray(normal(other, 0, COUNT)))) < 5 / np.sqrt(COUNT)


def test_every_bit_of_the_place_changes_every_bit_of_the_hash():
    words, places = np.asarray(jax.random.bits(jax.random.key(0), (2,))), np.arange(2**14, dtype=np.uint64)
    for bit in range(32):
        changed = plain_hash(words, places) ^ plain_hash(words, places ^ np.uint64(1 << bit))
        flips = np.unpackbits(changed.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little").mean(axis=0)
        assert np.all(np.abs(flips - 0.5) < 0.03), bit


def test_is_finite_and_never_zero_at_all_values_that_24_bits_have():
    uniform = (np.arange(-(2**23), 2**23, dtype=np.float32)) * 2**-23 + 2**-24
    assert abs(uniform).max() < 1 and abs(uniform).min() > 0
    largest = np.sqrt(2) * jax.lax.erf_inv(uniform[[0, -1]])
    np.testing.assert_allclose(largest, [-5.42, 5.42], atol=0.005)


def test_a_draw_depends_on_its_place_alone():
    whole = np.asarray(normal(jax.random.key(1), 0, 1000))
    np.testing.assert_array_equal(whole[300:333], normal(jax.random.key(1), 300, 333))


def test_sixty_four_bits_change_nothing():
    stacked = np.array([[1.0, 1.0, 2.0], [1.0, -1.0, -3.0]], np.float32)
    combiner = surgery.agr_rand(key=2)
    expected, _ = combiner.update(stacked, combiner.init(None))
    with reference.enable_x64(True):
        result, _ = combiner.update(stacked, combiner.init(None))
    np.testing.assert_array_equal(result, expected)


def test_noise_where_puts_noise_where_there_is_conflict():
    total = jnp.arange(1.0, 20.0)
    conflict = jnp.arange(19) % 2 == 0
    noisy = np.asarray(_fast.noise_where(conflict, jax.random.key(0), jnp.float32(2.0), total))
    plain = jnp.where(conflict, 2 * _fast.normal(jax.random.key(0), 0, 19), total)
    np.testing.assert_allclose(noisy, plain, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_drawn_with_its_probability(dtype):
    shares = np.array([0.0, 1e-3, 0.3, 0.5, 1 - 2**-7, 1.0])
    with reference.enable_x64(dtype == "float64"):
        asked = jnp.tile(jnp.asarray(shares, dtype)[:, None, None], (1, 400, 500))
        frequencies = np.mean(np.asarray(_fast.is_drawn(jax.random.key(3), asked)), axis=(1, 2))
    assert (np.abs(frequencies - shares) <= 5 * np.sqrt(shares * (1 - shares) / 200_000)).all()


def test_computed_once_changes_nothing():
    weights = jnp.array([1.5, np.nan, -0.25, np.inf, 3e38, 2e-38, 0.0])
    for function in (_fast.computed_once, jax.jit(_fast.computed_once)):
        np.testing.assert_array_equal(function(weights), weights)
        np.testing.assert_array_equal(jax.vmap(function)(jnp.stack([weights, 2 * weights]))[1], 2 * weights)
    np.testing.assert_array_equal(jax.grad(lambda w: _fast.computed_once(w)[2] * 3)(weights[:4]), [0, 0, 3, 0])


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (4095,), (4096,), (3, 5000), (20_001,)])
def test_sums_and_count(shape, jit):
    rng = np.random.default_rng(0)
    real, whole = rng.normal(size=shape).astype(np.float32), rng.integers(0, 9, shape).astype(np.int32)
    sums, count = (jax.jit(_fast.sums), jax.jit(_fast.count)) if jit else (_fast.sums, _fast.count)
    first, second, third = sums(jnp.asarray(real), jnp.asarray(whole), jnp.asarray(np.square(real)))
    np.testing.assert_allclose(first, real.sum(dtype=np.float64), rtol=1e-6, atol=1e-6 * np.abs(real).sum())
    assert second == whole.sum() and second.dtype == jnp.int32
    np.testing.assert_allclose(third, np.square(real, dtype=np.float64).sum(), rtol=1e-6)
    assert count(jnp.asarray(real > 0)) == (real > 0).sum()


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="before JAX 0.10 XLA adds in another order")
def test_equal_terms_keep_their_digits():
    sums = _fast.sums(jnp.full(30_000_000, 0.1, jnp.float32))
    np.testing.assert_allclose(sums[0], 30_000_000 * np.float64(np.float32(0.1)), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("n", "length"), [(1, 40_000), (3, 50), (4, 40_003), (5, 40_003), (16, 70_001), (32, 33_000)])
def test_inner_products(n, length, dtype):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(n, length)), dtype)
    wide = np.asarray(rows, np.float64)
    for then_freed in (False, True):
        products = _fast.inner_products(rows, jnp.dtype("float32"), then_freed)
        assert products.dtype == jnp.float32
        np.testing.assert_allclose(products, wide @ wide.T, rtol=1e-5, atol=1e-5 * length)
    scales = np.linspace(1.0, 4.0, n, dtype=np.float32)
    products = _fast.inner_products(rows, jnp.dtype("float32"), scales=jnp.asarray(scales))
    wide = wide / scales[:, None]
    np.testing.assert_allclose(products, wide @ wide.T, rtol=1e-5, atol=1e-5 * length)


@pytest.mark.parametrize(("ours", "plain"), [(jnp.add, np.sum), (jnp.minimum, np.min), (jnp.maximum, np.max)])
def test_over_rows(ours, plain):
    rows = np.random.default_rng(0).normal(size=(5, 3, 7)).astype(np.float32)
    np.testing.assert_allclose(_fast.over_rows(ours, jnp.asarray(rows)), plain(rows, axis=0), rtol=1e-5, atol=1e-6)


def test_the_switch_takes_the_plain_forms_with_the_same_results():
    program = """
import sys, jax, numpy as np
from dg_jax import surgery
from dg_jax.surgery import _fast
from tests import programs
rng = np.random.default_rng(0)
stacked = {"a": rng.normal(size=(3, 40_003)).astype(np.float32), "b": rng.normal(size=(3, 5)).astype(np.float32)}
results = {"plain": np.array(_fast.PLAIN)}
for name in ("deep_all", "sum", "agr_sum", "pcgrad", "group_dro", "agr_rand"):
    combiner = getattr(surgery, name)()
    gradient, state = jax.jit(combiner.update)(stacked, combiner.init(None), losses=np.arange(3, dtype=np.float32))
    if name == "agr_rand":  # other draws
        agrees = surgery.agreement(stacked)
        gradient = jax.tree.map(lambda leaf, phi: np.where(phi, leaf, 0), gradient, agrees)
        results["sigma"] = np.asarray(state.sigma)
    results |= {f"{name} {key}": np.asarray(leaf) for key, leaf in gradient.items()}
called = surgery.value_and_grads(lambda w, x: (x @ w).sum())
results["products"] = np.array(programs.operations(called, np.ones(3), np.ones((4, 2, 3)))["dot_general"])
np.savez(sys.argv[1], **results)
"""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for value in ("0", "1"):
            file = f"{folder}/{value}.npz"
            environment = {**os.environ, "DG_JAX_PLAIN": value}
            subprocess.run([sys.executable, "-c", program, file], check=True, env=environment)
            results[value] = dict(np.load(file))
    fast, plain = results["0"], results["1"]
    assert not fast.pop("plain") and plain.pop("plain")
    assert fast.pop("products") > plain.pop("products")  # the fast form is a loop over the rows, the plain one vmap
    for name, expected in plain.items():
        np.testing.assert_allclose(fast[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
