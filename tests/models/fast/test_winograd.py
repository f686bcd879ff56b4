"""Winograd's convolution against XLA's plain one and against NumPy."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from dg_jax.models.fast import winograd
from tests import programs, quick

CASES = [
    # images, taps, outputs, padding of height and width
    ((3, 9, 8, 4), 3, 5, ((1, 1), (1, 1))),
    ((5, 6, 7, 2), 5, 3, ((2, 2), (2, 2))),
    ((2, 9, 9, 3), 3, 2, ((0, 0), (0, 0))),
    ((2, 9, 9, 3), 5, 2, ((0, 1), (4, 3))),
    ((1, 3, 3, 1), 3, 1, ((0, 0), (0, 0))),
    ((2, 1, 1, 2), 5, 2, ((2, 2), (2, 2))),
    ((2, 4, 5, 2), 3, 2, ((3, 4), (2, 3))),
]


def plain(x, kernel, padding):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=dimensions, precision="highest")


def case(images, taps, outputs, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=images).astype(dtype), rng.normal(size=(taps, taps, images[-1], outputs)).astype(dtype)


def assert_close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@given(
    taps=st.sampled_from(sorted(winograd.ALGORITHMS)),
    numbers=st.lists(st.floats(-1e3, 1e3), min_size=11, max_size=11),
)
@settings(deadline=None)
def test_an_algorithm_gives_two_outputs_of_its_filter(taps, numbers):
    algorithm = winograd.ALGORITHMS[taps]
    weights, data = np.array(numbers[:taps]), np.array(numbers[taps:][: taps + 1])
    outputs = algorithm.outputs @ ((algorithm.weights @ weights) * (algorithm.data @ data))
    np.testing.assert_allclose(outputs, np.correlate(data, weights, "valid"), rtol=0, atol=1e-8)


@pytest.mark.parametrize("most_bytes", [winograd.MOST_BYTES, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("images", "taps", "outputs", "padding"), CASES)
def test_result_equals_xlas(images, taps, outputs, padding, dtype, most_bytes):
    """Also where one or two images are taken at a time."""
    with jax.enable_x64(True):
        arguments = case(images, taps, outputs, dtype)
        ours = quick.jit(winograd.convolve, static_argnums=(2, 3))(*arguments, padding, most_bytes)
        expected = quick.jit(plain, static_argnums=2)(*arguments, padding)
    assert ours.shape == expected.shape and ours.dtype == expected.dtype
    assert_close(ours, expected, 1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize(("taps", "channels", "extent"), [(3, 384, 13), (5, 64, 27)])
def test_with_as_many_channels_as_alexnet_rounding_stays_small(taps, channels, extent):
    """Against float64; the bound is that of the docstring of ``convolve``."""
    x, kernel = case((1, extent, extent, channels), taps, 32)
    padding = ((taps // 2,) * 2,) * 2
    ours = winograd.convolve(x, kernel, padding)
    with jax.enable_x64(True):
        expected = plain(x.astype(np.float64), kernel.astype(np.float64), padding)
    assert_close(ours, expected, 1e-5)


@pytest.mark.parametrize(("taps", "products"), [(3, 16), (5, 49)])
def test_takes_fewer_multiplications(taps, products):
    x, kernel = case((1, 8, 8, 2), taps, 3)
    found = programs.operations(lambda x, kernel: winograd.convolve(x, kernel, ((0, 0), (0, 0))), x, kernel)
    assert found["dot_general"] == products and "convolution" not in found
