import subprocess
import sys

import jax
import numpy as np
import pytest
from scipy import special, stats

from dg_jax import surgery
from dg_jax.surgery import noise

COUNT = 2**20
normal = jax.jit(noise.normal, static_argnums=(1, 2))


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
    combiner = surgery.agr_rand(seed=2)
    expected, _ = combiner.update(stacked, combiner.init(None))
    with jax.enable_x64(True):
        result, _ = combiner.update(stacked, combiner.init(None))
    np.testing.assert_array_equal(result, expected)


def test_agr_rand_is_the_same_on_one_and_on_four_devices():
    program = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from dg_jax import surgery
stacked = np.random.default_rng(0).integers(-4, 5, (3, 16, 40)).astype(np.float32)
combiner = surgery.agr_rand(5)
update = jax.jit(lambda rows: combiner.update(rows, combiner.init(None))[0])
one = np.asarray(update(jax.device_put(stacked, jax.devices()[0])))
mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
many = update(jax.device_put(stacked, NamedSharding(mesh, PartitionSpec(None, "a", "b"))))
assert len(many.sharding.device_set) == 4 and not many.sharding.is_fully_replicated, many.sharding
np.testing.assert_allclose(one, many, rtol=1e-6)  # rounded otherwise, drawn the same
"""
    subprocess.run([sys.executable, "-c", program], check=True)
