"""Max pooling with a quick gradient."""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: chex.Array, size: int, stride: int) -> chex.Array:
    """Takes the maximum over ``size`` × ``size`` windows of ``[B, H, W, C]``, without padding.

    Equal to ``nnx.max_pool(x, (size, size), strides=(stride, stride))``, but computed as a
    maximum of strided slices. On CPUs its gradient is much faster than that of
    ``reduce_window``, and keeps only the input and the output in memory. If entries of a window
    tie, the first one gets the gradient, as in PyTorch.

    Can be differentiated in reverse mode only.
    """
    return functools.reduce(jnp.maximum, _windows(x, size, stride).values())


def _forward(x, size, stride):
    y = max_pool(x, size, stride)
    return y, (x, y)


def _backward(size, stride, residuals, dy):
    x, y = residuals
    dx = jnp.zeros_like(x)
    is_taken = jnp.zeros(y.shape, bool)
    for (i, j), entry in _windows(x, size, stride).items():
        is_first = ~((entry < y) | is_taken)  # if y is NaN, no entry is less: the first is taken
        is_taken |= is_first
        starts = (0, i, j, 0)
        apart = [
            (start, have - start - (stride_ * (count - 1) + 1), stride_ - 1)
            for start, have, count, stride_ in zip(starts, x.shape, y.shape, (1, stride, stride, 1), strict=True)
        ]
        dx += lax.pad(jnp.where(is_first, dy, 0), jnp.zeros([], x.dtype), apart)
    return (dx,)


max_pool.defvjp(_forward, _backward)


def _windows(x: chex.Array, size: int, stride: int) -> dict[tuple[int, int], chex.Array]:
    """Entry (i, j) of all windows, as one strided slice, for each (i, j)."""
    height, width = ((extent - size) // stride + 1 for extent in x.shape[1:3])
    return {
        (i, j): x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    }
