"""The forms of a convolution that are quick with XLA:CPU."""

import functools

import chex
import jax
import jax.numpy as jnp

from dg_jax.models.fast import blocks, large, plain, winograd
from dg_jax.models.fast.matrix_product import as_matrix_product

# Bytes of all windows, up to which a matrix product is quicker.
FEW_WINDOWS = 20e6
# XLA compiles a copy for each tap: the 121 of AlexNet's first convolution take too much memory and time to compile.
_FEW_TAPS = 5**2


def choose(x: chex.Array, kernel: chex.Array, stride: int) -> plain.ConvolutionForm:
    """Returns the form for these shapes: :func:`convolve_large`, a matrix product, or XLA's own."""
    if large.is_large(x, kernel, stride):
        return convolve_large
    taps = kernel.shape[0] * kernel.shape[1]
    windows = x.size / stride**2 * taps * x.dtype.itemsize
    return as_matrix_product if taps <= _FEW_TAPS and windows <= FEW_WINDOWS else plain.convolve


def convolve_large(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves as :func:`plain.convolve` does, for many images.

    With stride 1 and 3 × 3 or 5 × 5 taps, the result and the gradient of the images are in
    Winograd's form. The gradient of the kernel never is: a sum of zeros must stay 0. Rounding
    would give it a sign, and Agr-Sum would see agreement.
    """
    return large.convolve(x, kernel, stride, padding, _COMPUTATION)


def _has_winograd(kernel, stride):
    # Winograd's form sums before it multiplies: in bfloat16 that would lose digits.
    return stride == 1 and len(kernel) in winograd.ALGORITHMS and kernel.dtype.itemsize >= 4


def _result(x, kernel, stride, padding):
    if _has_winograd(kernel, stride):
        return winograd.convolve(x, kernel, padding)
    return plain.convolve(x, kernel, stride, padding)


def _images_gradient(x, kernel, dy, stride, padding):
    if not _has_winograd(kernel, stride):
        return large.images_gradient(x, kernel, dy, stride, padding)
    last = len(kernel) - 1
    around = tuple((last - before, last - after) for before, after in padding)
    return convolve_large(dy, kernel[::-1, ::-1].swapaxes(2, 3), 1, around)


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)  # traced once for all domains
def kernel_gradient(
    x: chex.Array, kernel: chex.Array, dy: chex.Array, stride: int, padding: plain.Padding
) -> chex.Array:
    """The gradient of the kernel, as one matrix product for each of its offsets.

    Equal, up to rounding, to::

        jax.vjp(lambda kernel: plain.convolve(x, kernel, stride, padding), kernel)[1](dy)

    At offset (a, b) it is ``x.T @ dy``, with x at this offset as [pixels, I] and dy as
    [pixels, O]. XLA:CPU itself computes a convolution with windows as large as the picture,
    which is much slower.
    """
    # A strided convolution is one of stride 1 over blocks of stride × stride pixels, taken as channels.
    height, width = (-(-extent // stride) for extent in kernel.shape[:2])
    rows, columns = dy.shape[1:3]
    pixels = blocks.to_blocks(x, stride, padding, (rows + height - 1, columns + width - 1))
    outputs = dy.reshape(-1, dy.shape[3])
    offsets = [
        pixels[:, a : a + rows, b : b + columns].reshape(-1, pixels.shape[3]).T @ outputs
        for a in range(height)
        for b in range(width)
    ]
    gradient = jnp.stack(offsets).reshape(height, width, stride, stride, *kernel.shape[2:])
    gradient = gradient.transpose(0, 2, 1, 3, 4, 5).reshape(height * stride, width * stride, *kernel.shape[2:])
    return gradient[: kernel.shape[0], : kernel.shape[1]]


_COMPUTATION = large.Computation(_result, _images_gradient, kernel_gradient)
