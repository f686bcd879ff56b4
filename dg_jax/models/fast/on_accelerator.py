"""The forms of a convolution that are quick on GPUs and TPUs."""

import chex
import jax.numpy as jnp

from dg_jax.models.fast import blocks, large, plain
from dg_jax.models.fast.matrix_product import as_matrix_product

_FEW_CHANNELS = 4


def choose(x: chex.Array, kernel: chex.Array, stride: int) -> plain.ConvolutionForm:
    """Returns the form for these shapes: :func:`over_blocks`, :func:`convolve_large`, or a matrix product.

    They are quicker than XLA's own form, most of all under ``vmap`` over networks: there XLA's
    own becomes a grouped convolution.
    """
    if not large.is_large(x, kernel, stride):
        return as_matrix_product
    return over_blocks if stride > 1 and x.shape[-1] <= _FEW_CHANNELS else convolve_large


def convolve_large(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves as :func:`plain.convolve` does; under ``vmap`` no kernel gradient is a grouped convolution."""
    return large.convolve(x, kernel, stride, padding, _COMPUTATION)


def over_blocks(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves as :func:`plain.convolve` does, with stride 1 over blocks of stride × stride pixels.

    The pixels of a block become its channels: with only three channels most of the device
    would be idle.
    """
    height, width = (-(-extent // stride) for extent in kernel.shape[:2])
    rows, columns = (
        (extent + before + after - size) // stride + 1
        for extent, (before, after), size in zip(x.shape[1:3], padding, kernel.shape[:2], strict=True)
    )
    pixels = blocks.to_blocks(x, stride, padding, (rows + height - 1, columns + width - 1))
    missing = ((0, height * stride - kernel.shape[0]), (0, width * stride - kernel.shape[1]))
    of_blocks = jnp.pad(kernel, (*missing, (0, 0), (0, 0)))
    of_blocks = of_blocks.reshape(height, stride, width, stride, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    of_blocks = of_blocks.reshape(height, width, pixels.shape[3], kernel.shape[3])
    return convolve_large(pixels, of_blocks, 1, ((0, 0), (0, 0)))


_COMPUTATION = large.Computation(plain.convolve, large.images_gradient, large.kernel_gradient)
