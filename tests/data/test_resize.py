"""Every value equals that of Pillow's own resizing."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dg_jax.data import resize


def by_pillow(pictures, size):
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), bilinear)) for one in pictures])


def pictures(size, seed=0):
    """Noise, and patterns that drive sums to their limits: black, white, and both in checks and stripes."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    black_or_white = rng.choice(np.array([0, 255], np.uint8), (2, size, size, 3))
    rows, columns = np.indices((size, size))
    patterns = [0 * rows, 1 + 0 * rows, (rows + columns) % 2, (rows // 2 + columns // 3) % 2, rows % 2, columns % 2]
    drawn = [np.repeat(255 * pattern[..., None], 3, axis=2).astype(np.uint8) for pattern in patterns]
    return [*noise, *black_or_white, *drawn]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(227, 224), (227, 64), (227, 229), (72, 32), (72, 227), (32, 32), (33, 97), (150, 7), (1, 5), (9, 1)],
)
def test_values_are_pillows(size, wanted):
    given_pictures = pictures(size)
    resized = resize.bilinear(given_pictures, wanted)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, by_pillow(given_pictures, wanted))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 2**32))
def test_values_are_pillows_at_any_size(size, wanted, seed):
    given_pictures = pictures(size, seed)
    np.testing.assert_array_equal(resize.bilinear(given_pictures, wanted), by_pillow(given_pictures, wanted))


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_weights_are_pillows_at_any_size(width, size):
    # One bright pixel in a row of black ones shows the weights of that pixel.
    bright = width // 2
    row = np.zeros((1, width, 3), np.uint8)
    row[0, bright] = 255
    by_weights = np.full(size, 1 << 21)
    for positions, weights in zip(*resize.taps(width, size), strict=True):
        by_weights += np.where(positions == bright, 255 * weights, 0)
    pillows = np.asarray(Image.fromarray(row).resize((size, 1), Image.Resampling.BILINEAR))[0, :, 0]
    np.testing.assert_array_equal(by_weights >> 22, pillows)


@pytest.mark.parametrize("number", [1, 7, 8, 9, 17])
def test_any_number_of_pictures(number):
    some = [np.full((5, 5, 3), i, np.uint8) for i in range(number)]
    expected = np.broadcast_to(np.arange(number, dtype=np.uint8)[:, None, None, None], (number, 4, 4, 3))
    np.testing.assert_array_equal(resize.bilinear(some, 4), expected)


def test_where_jax_has_no_cpu_the_default_device_resizes(monkeypatch):
    def no_cpu(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", no_cpu)
    test_values_are_pillows(20, 10)
