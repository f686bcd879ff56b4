"""Large convolutions, whose gradients have a special form."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dg_jax.models.fast import plain

# Multiplications of the forward pass. Below this the special form gains little: launching kernels costs more.
LARGE = 1e9

Gradient = Callable[[chex.Array, chex.Array, chex.Array, int, plain.Padding], chex.Array]


class Computation(NamedTuple):
    """How a device computes a large convolution.

    Attributes:
        result: ``(x, kernel, stride, padding) -> y``.
        images_gradient: ``(x, kernel, dy, stride, padding) -> dx``; the values of x do not matter.
        kernel_gradient: ``(x, kernel, dy, stride, padding) -> dkernel``; the values of the
            kernel do not matter.
    """

    result: plain.ConvolutionForm
    images_gradient: Gradient
    kernel_gradient: Gradient


def is_large(x: chex.Array, kernel: chex.Array, stride: int) -> bool:
    """Whether a convolution has so many multiplications that the special form of its gradients is quicker."""
    return x.size / x.shape[-1] / stride**2 * kernel.size >= LARGE


def images_gradient(
    x: chex.Array, kernel: chex.Array, dy: chex.Array, stride: int, padding: plain.Padding
) -> chex.Array:
    """The gradient of the images as JAX derives it: ``[B, H, W, I]``."""
    return jax.vjp(lambda x: plain.convolve(x, kernel, stride, padding), x)[1](dy)[0]


def kernel_gradient(
    x: chex.Array, kernel: chex.Array, dy: chex.Array, stride: int, padding: plain.Padding
) -> chex.Array:
    """The gradient of the kernel as JAX derives it: ``[h, w, I, O]``."""
    return jax.linear_transpose(lambda kernel: plain.convolve(x, kernel, stride, padding), kernel)(dy)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def convolve(
    x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding, computation: Computation
) -> chex.Array:
    """Convolves as :func:`plain.convolve` does; ``computation`` gives the result and both gradients.

    Under ``vmap`` over the images alone, the gradient of the kernel is computed row by row.
    Can be differentiated in reverse mode only.
    """
    return computation.result(x, kernel, stride, padding)


def _forward(x, kernel, stride, padding, computation):
    return convolve(x, kernel, stride, padding, computation), (x, kernel)


def _backward(stride, padding, computation, residuals, dy):
    x, kernel = residuals
    dx = computation.images_gradient(x, kernel, dy, stride, padding)
    return dx, _kernel_gradient(x, kernel, dy, stride, padding, computation)


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _kernel_gradient(x, kernel, dy, stride, padding, computation):
    """The gradient of the kernel; under ``vmap`` with one kernel for all, row by row.

    ``vmap`` itself would turn it into a grouped convolution, which is slow on every device.
    """

    @jax.custom_batching.custom_vmap
    def gradient(x, kernel, dy):
        return computation.kernel_gradient(x, kernel, dy, stride, padding)

    @gradient.def_vmap
    def over_rows(count, is_batched, x, kernel, dy):
        if is_batched == [True, False, True]:
            return jnp.stack([gradient(x[i], kernel, dy[i]) for i in range(count)]), True
        return jax.vmap(gradient.fun, [0 if batched else None for batched in is_batched])(x, kernel, dy), True

    return gradient(x, kernel, dy)


def _kernel_gradient_forward(x, kernel, dy, stride, padding, computation):
    return _kernel_gradient(x, kernel, dy, stride, padding, computation), (x, kernel, dy)


def _kernel_gradient_backward(stride, padding, computation, residuals, direction):
    # The gradient's dot product with a direction is <dy, convolve(x, direction)>: linear in x and in dy.
    x, kernel, dy = residuals
    y, pull_back = jax.vjp(lambda x: convolve(x, direction, stride, padding, computation), x)
    return *pull_back(dy), jnp.zeros_like(kernel), y


_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)
