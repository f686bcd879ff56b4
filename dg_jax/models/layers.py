"""Layers that the networks share."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dg_jax import backend
from dg_jax.models import convolution


def _pytorch_default(fan_in: int) -> nnx.Initializer:
    """PyTorch's default initialisation of weights and biases: U(±1/√fan_in)."""
    width = 2 * fan_in**-0.5
    uniform = nnx.initializers.uniform(width)
    return lambda key, shape, dtype=jnp.float32, **options: uniform(key, shape, dtype, **options) - width / 2


class Conv(nnx.Module):
    """A square convolution with a bias and PyTorch's default initialisation: ``[B, H, W, I]`` to ``[B, H', W', O]``."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int, rngs: nnx.Rngs):
        init = _pytorch_default(inputs * size * size)
        self.kernel = nnx.Param(init(rngs.params(), (size, size, inputs, outputs)))
        self.bias = nnx.Param(init(rngs.params(), (outputs,)))
        self.stride = stride
        self.padding = padding

    def __call__(self, x: chex.Array) -> chex.Array:
        strides, padding = (self.stride,) * 2, ((self.padding,) * 2,) * 2
        y = convolution.conv_general_dilated(x, self.kernel[...], strides, padding)
        return y + for_each_image(self.bias[...], len(x))


def for_each_image(parameter: chex.Array, num_images: int) -> chex.Array:
    """Makes ``[1, 1, 1, C]`` of ``[C]``, on accelerators ``[B, 1, 1, C]``: its gradient is summed by image first.

    Under ``vmap`` over domains XLA:GPU would fuse the sum over all images of a domain with
    the gradient of the pooling into a kernel that takes ten times as long.
    """
    if backend.is_cpu():
        return parameter[None, None, None]
    return _apart_from_its_gradient(jnp.broadcast_to(parameter, (num_images, 1, 1, *parameter.shape)))


@jax.custom_jvp
def _apart_from_its_gradient(x):
    return x


@_apart_from_its_gradient.defjvp
def _jvp(primals, tangents):
    return primals[0], jax.lax.optimization_barrier(tangents[0])


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
