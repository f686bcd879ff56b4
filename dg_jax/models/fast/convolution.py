"""A convolution in a form that is quick on its device."""

import functools
from collections.abc import Callable

import chex
from jax import lax

from dg_jax.models.fast import on_accelerator, on_cpu, plain


def convolve(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves images in a form that is quick on the device.

    Equal, up to rounding, to :func:`plain.convolve`::

        lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    The form depends on the size and the device, see :func:`on_cpu.choose` and
    :func:`on_accelerator.choose`. XLA compiles only the form for its device, without a conditional.

    Args:
        x: images ``[B, H, W, I]``.
        kernel: ``[h, w, I, O]``.
        stride: of the window, the same in both directions.
        padding: zeros before and after, for height and width.

    Returns:
        ``[B, H', W', O]``.

    Note:
        Some forms can be differentiated in reverse mode only.
    """
    cpu = _form(on_cpu.choose(x, kernel, stride), stride, padding)
    accelerator = _form(on_accelerator.choose(x, kernel, stride), stride, padding)
    if cpu is accelerator:
        return cpu(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=cpu, default=accelerator)


@functools.cache  # JAX traces the same function on the same shapes once, for all domains
def _form(convolve: plain.ConvolutionForm, stride: int, padding: plain.Padding) -> Callable:
    return functools.partial(convolve, stride=stride, padding=padding)  # type: ignore[call-arg]
