"""A convolution of each channel by itself."""

import functools
import operator

import chex
import jax.numpy as jnp

from dg_jax.models.fast import plain


def convolve_depthwise(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves each channel of ``[B, H, W, C]`` with its own filter of ``[h, w, 1, C]``: a sum of shifted images.

    Equal, up to rounding, to :func:`plain.convolve_depthwise`. That is a grouped convolution: XLA:CPU computes it one
    channel at a time, and its gradients under ``vmap`` over domains are slow on every device.
    """
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((have - size) // stride + 1 for have, size in zip(x.shape[1:3], kernel.shape[:2], strict=True))
    return functools.reduce(
        operator.add,
        (
            x[:, a : a + stride * (rows - 1) + 1 : stride, b : b + stride * (columns - 1) + 1 : stride]
            * kernel[a, b][None, None]
            for a in range(kernel.shape[0])
            for b in range(kernel.shape[1])
        ),
    )
