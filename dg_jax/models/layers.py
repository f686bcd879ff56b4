"""Layers that the networks share."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dg_jax.models import convolution


def _pytorch_default(fan_in: int) -> nnx.Initializer:
    """PyTorch's default initialisation of weights and biases: U(±1/√fan_in)."""
    width = 2 * fan_in**-0.5
    uniform = nnx.initializers.uniform(width)
    return lambda key, shape, dtype=jnp.float32, **options: uniform(key, shape, dtype, **options) - width / 2


def conv(inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int, rngs: nnx.Rngs) -> nnx.Conv:
    """A square convolution with a bias and PyTorch's default initialisation."""
    init = _pytorch_default(inputs * size * size)
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=padding,
        kernel_init=init,
        bias_init=init,
        conv_general_dilated=convolution.conv_general_dilated,
        rngs=rngs,
    )


def dense(inputs: int, outputs: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A dense layer with a bias and PyTorch's default initialisation."""
    init = _pytorch_default(inputs)
    return nnx.Linear(inputs, outputs, kernel_init=init, bias_init=init, rngs=rngs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: chex.Array, size: int, stride: int) -> chex.Array:
    """Maximum over ``size`` × ``size`` windows, no padding: ``[B, H, W, C]``.

    Written as a maximum of strided slices, whose gradient is several times faster on
    CPUs than that of ``reduce_window`` (a select-and-scatter). The gradient goes to the
    first of the entries of a window that tie, as in PyTorch, and keeps in memory only
    what goes in and comes out. Can be differentiated in reverse mode only.
    """
    return functools.reduce(jnp.maximum, _windows(x, size, stride).values())


def _max_pool_forward(x, size, stride):
    y = max_pool(x, size, stride)
    return y, (x, y)


def _max_pool_backward(size, stride, residuals, dy):
    x, y = residuals
    dx = jnp.zeros_like(x)
    is_taken = jnp.zeros(y.shape, bool)
    for (i, j), entry in _windows(x, size, stride).items():
        is_first = ~((entry < y) | is_taken)  # of a NaN, too, nothing is greater
        is_taken |= is_first
        starts = (0, i, j, 0)
        apart = [
            (start, have - start - (stride_ * (count - 1) + 1), stride_ - 1)
            for start, have, count, stride_ in zip(starts, x.shape, y.shape, (1, stride, stride, 1), strict=True)
        ]
        dx += jax.lax.pad(jnp.where(is_first, dy, 0), jnp.zeros([], x.dtype), apart)
    return (dx,)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _windows(x: chex.Array, size: int, stride: int) -> dict[tuple[int, int], chex.Array]:
    """Entry (i, j) of all windows, as one strided slice, for each (i, j)."""
    height, width = ((extent - size) // stride + 1 for extent in x.shape[1:3])
    return {
        (i, j): x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    }


def adaptive_average_pool(x: chex.Array, size: int) -> chex.Array:
    """Averages ``[B, H, W, C]`` to ``[B, size, size, C]``, windows as in PyTorch."""

    def averages(extent):
        weights = np.zeros((size, extent), np.float32)
        for i in range(size):
            start, stop = i * extent // size, -(-(i + 1) * extent // size)
            weights[i, start:stop] = 1 / (stop - start)
        return weights.astype(x.dtype)

    if x.shape[1:3] == (size, size):
        return x
    return jnp.einsum("bhwc,ih,jw->bijc", x, averages(x.shape[1]), averages(x.shape[2]))
