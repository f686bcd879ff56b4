"""Convolutions to test, and XLA's own convolution in full precision."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SHAPES = [
    # images, kernel, stride, padding
    ((2, 15, 13, 3), (11, 11, 3, 4), 4, 2),
    ((1, 9, 9, 2), (3, 3, 2, 3), 1, 1),
    ((3, 8, 8, 3), (3, 3, 3, 5), 2, 1),
    ((2, 7, 10, 3), (1, 1, 3, 5), 2, 0),
    ((2, 14, 14, 3), (7, 7, 3, 4), 2, 3),
    ((2, 6, 6, 2), (5, 5, 2, 2), 1, 2),
    ((1, 5, 5, 2), (5, 5, 2, 2), 3, 0),
    ((1, 1, 1, 2), (3, 3, 2, 1), 1, 1),
]


def precise(x, kernel, stride, padding):
    """XLA's plain convolution in full precision."""
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )


def case(images, kernel):
    rng = np.random.default_rng(0)
    return rng.normal(size=images).astype(np.float32), rng.normal(size=kernel).astype(np.float32)


def shapes_of(images, kernel, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(images, dtype), jax.ShapeDtypeStruct(kernel, dtype)


def loss_of(convolve, stride, pad):
    return lambda x, kernel: jnp.sum(jnp.sin(convolve(x, kernel, stride, ((pad, pad), (pad, pad)))))


def assert_close(ours, expected, rtol):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(jax.device_get(expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-5 * np.abs(other).max())
