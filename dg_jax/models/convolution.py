"""Convolutions in the form that the device is quick at."""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax

from dg_jax import backend
from dg_jax.models import winograd

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


# Multiplications in the forward pass that divide small convolutions, in which launches count, from large ones.
# Measured on 2 CPU cores: those of AlexNet on 32 pictures take half down to an eighth with the kernel gradient below
# (2e9 to 7e9); of five with 0.07e9 to 0.92e9, too large for products, none gains a tenth.
_LARGE = 1e9
# Bytes of all windows up to which a small one is quicker as their product on a CPU: of 17 with up to 19 MB two were
# not, of four with 29 MB and more none was. A number put into new memory takes as long as a hundred multiplications.
_FEW_WINDOWS = 20e6
# And its taps, for each of which XLA:CPU compiles a copy: with 11 × 11, compiling AlexNet's step for 16 domains took
# 3 GB and a minute more.
_FEW_TAPS = 5**2
_FEW_CHANNELS = 4


def conv_general_dilated(lhs, rhs, window_strides, padding, **unused):
    """In the place of :func:`jax.lax.conv_general_dilated` in ``nnx.Conv``, for square strides and explicit padding.

    A large one gets a kernel gradient of its own, and on a CPU, with stride 1 and taps for it, Winograd's form: a step
    of AlexNet on 3 × 32 images then takes four fifths of the time. On an accelerator, one with a stride over images of
    few channels becomes one over blocks: on an H100 AlexNet's first convolution and its gradient take less than half
    of the time, 1.2 ms in place of 2.8 for 384 images.

    A small one becomes a matrix product: a step of SmallCNN takes three fifths of the time on a CPU, three quarters on
    an H100, and there under ``vmap`` over networks a ninth (a convolution becomes a grouped one then). On a CPU one
    with many windows or taps stays as it is.
    """
    del unused
    stride = window_strides[0]
    pad = tuple(map(tuple, padding))
    outputs = lhs.size / lhs.shape[-1] / stride**2
    if outputs * rhs.size < _LARGE:
        taps = rhs.shape[0] * rhs.shape[1]
        is_quick = taps <= _FEW_TAPS and outputs * taps * lhs.shape[-1] * lhs.dtype.itemsize <= _FEW_WINDOWS
        is_product = is_quick or not backend.is_cpu()
        return (as_matrix_product if is_product else _plain)(lhs, rhs, stride, pad)
    if backend.is_cpu():
        return convolve(lhs, rhs, stride, pad)
    in_blocks = stride > 1 and lhs.shape[-1] <= _FEW_CHANNELS
    return (over_blocks if in_blocks else convolve)(lhs, rhs, stride, pad)


def as_matrix_product(
    x: chex.Array, kernel: chex.Array, stride: int, padding: tuple[tuple[int, int], ...]
) -> chex.Array:
    """Convolution ``[B, H, W, I]`` with ``[h, w, I, O]`` as the product of all windows, ``[B, H', W', h · w · I]``."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((have - size) // stride + 1 for have, size in zip(x.shape[1:3], kernel.shape[:2], strict=True))
    offsets = [
        x[:, a : a + stride * (rows - 1) + 1 : stride, b : b + stride * (columns - 1) + 1 : stride]
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    ]
    weights = kernel.reshape(-1, kernel.shape[-1])
    windows = jnp.concatenate(offsets, axis=-1).reshape(-1, len(weights))  # of a matrix its gradients need no copy
    return (windows @ weights).reshape(len(x), rows, columns, -1)


def over_blocks(x: chex.Array, kernel: chex.Array, stride: int, padding: tuple[tuple[int, int], ...]) -> chex.Array:
    """Convolution ``[B, H, W, I]`` with ``[h, w, I, O]`` as one of stride 1 over blocks of stride × stride pixels.

    The pixels of a block are its channels. Three channels are far fewer than a device multiplies at once.
    """
    height, width = (-(-extent // stride) for extent in kernel.shape[:2])
    rows, columns = (
        (extent + before + after - size) // stride + 1
        for extent, (before, after), size in zip(x.shape[1:3], padding, kernel.shape[:2], strict=True)
    )
    blocks = _to_blocks(x, stride, padding, (rows + height - 1, columns + width - 1))
    missing = ((0, height * stride - kernel.shape[0]), (0, width * stride - kernel.shape[1]))
    of_blocks = jnp.pad(kernel, (*missing, (0, 0), (0, 0)))
    of_blocks = of_blocks.reshape(height, stride, width, stride, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    of_blocks = of_blocks.reshape(height, width, blocks.shape[3], kernel.shape[3])
    return convolve(blocks, of_blocks, 1, ((0, 0), (0, 0)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: chex.Array, kernel: chex.Array, stride: int, padding: tuple[tuple[int, int], ...]) -> chex.Array:
    """Convolution ``[B, H, W, I]`` with ``[h, w, I, O]`` whose kernel gradient is quick, also under ``vmap``.

    On a CPU it and the gradient of the images are in Winograd's form where there is one. The gradient of
    the kernel never is: a component that is a sum of zeros has to stay 0 and not become rounding of either
    sign, of which Agr-Sum would make agreement.

    Can be differentiated in reverse mode only.

    Args:
        x: images.
        kernel: the kernel.
        stride: of the window, the same in both directions.
        padding: zeros before and after, for height and width.
    """
    if _has_winograd(kernel, stride):
        return winograd.convolve(x, kernel, padding)
    return _plain(x, kernel, stride, padding)


def _has_winograd(kernel, stride):
    # In bfloat16 the sums that this form takes before it multiplies would lose digits.
    return backend.is_cpu() and stride == 1 and len(kernel) in winograd.ALGORITHMS and kernel.dtype.itemsize >= 4


def _plain(x, kernel, stride, padding):
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_DIMENSIONS)


def _forward(x, kernel, stride, padding):
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(stride, padding, residuals, dy):
    x, kernel = residuals
    if _has_winograd(kernel, stride):
        last = len(kernel) - 1
        around = tuple((last - before, last - after) for before, after in padding)
        dx = convolve(dy, kernel[::-1, ::-1].swapaxes(2, 3), 1, around)
    else:
        (dx,) = jax.vjp(lambda x: _plain(x, kernel, stride, padding), x)[1](dy)
    return dx, _kernel_gradient(x, dy, kernel, stride, padding)


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _kernel_gradient(x, dy, kernel, stride, padding):
    """The gradient of ``kernel``, whose values do not matter; under ``vmap`` with one kernel for all, row by row.

    ``vmap`` itself would make a grouped convolution of it, which is slow everywhere.
    """

    @jax.custom_batching.custom_vmap
    def gradient(x, dy, kernel):
        if backend.is_cpu():
            return _sum_of_products(x, dy, kernel.shape, stride, padding)
        return jax.linear_transpose(lambda kernel: _plain(x, kernel, stride, padding), kernel)(dy)[0]

    @gradient.def_vmap
    def over_rows(count, is_batched, x, dy, kernel):
        if is_batched == [True, True, False]:
            return jnp.stack([gradient(x[i], dy[i], kernel) for i in range(count)]), True
        return jax.vmap(gradient.fun, [0 if batched else None for batched in is_batched])(x, dy, kernel), True

    return gradient(x, dy, kernel)


def _kernel_gradient_forward(x, dy, kernel, stride, padding):
    return _kernel_gradient(x, dy, kernel, stride, padding), (x, dy, kernel)


def _kernel_gradient_backward(stride, padding, residuals, direction):
    # Linear in x and in dy: its product with a direction is that of dy with the convolution by this direction.
    x, dy, kernel = residuals
    y, pull_back = jax.vjp(lambda x: convolve(x, direction, stride, padding), x)
    return *pull_back(dy), y, jnp.zeros_like(kernel)


_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)


def _sum_of_products(x, dy, shape, stride, padding):
    """The kernel's gradient at offset (a, b): x there, as [pixels, I], transposed, times dy, as [pixels, O].

    XLA:CPU would compute it as a convolution with windows as large as the picture, up to ten
    times slower than the forward pass.
    """
    # A strided convolution is one of stride 1 over blocks of stride × stride pixels, taken as channels.
    height, width = (-(-extent // stride) for extent in shape[:2])
    rows, columns = dy.shape[1:3]
    blocks = _to_blocks(x, stride, padding, (rows + height - 1, columns + width - 1))
    outputs = dy.reshape(-1, dy.shape[3])
    offsets = [
        blocks[:, a : a + rows, b : b + columns].reshape(-1, blocks.shape[3]).T @ outputs
        for a in range(height)
        for b in range(width)
    ]
    gradient = jnp.stack(offsets).reshape(height, width, stride, stride, *shape[2:])
    gradient = gradient.transpose(0, 2, 1, 3, 4, 5).reshape(height * stride, width * stride, *shape[2:])
    return gradient[: shape[0], : shape[1]]


def _to_blocks(x, stride, padding, blocks):
    """``[B, H, W, I]`` -> ``[B, *blocks, stride · stride · I]``, padded or cut to whole blocks."""
    pad = [
        (before, count * stride - extent - before)
        for (before, _), count, extent in zip(padding, blocks, x.shape[1:3], strict=True)
    ]
    x = lax.pad(x, jnp.zeros([], x.dtype), [(0, 0, 0), *((before, after, 0) for before, after in pad), (0, 0, 0)])
    x = x.reshape(x.shape[0], blocks[0], stride, blocks[1], stride, x.shape[3])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], *blocks, -1)
