"""The plain forms: what each fast function computes."""

from collections.abc import Callable

import chex
import jax.numpy as jnp
from flax import nnx
from jax import lax

Padding = tuple[tuple[int, int], ...]  # zeros before and after, for height and width
ConvolutionForm = Callable[[chex.Array, chex.Array, int, Padding], chex.Array]


def convolve(x: chex.Array, kernel: chex.Array, stride: int, padding: Padding) -> chex.Array:
    """Convolves images ``[B, H, W, I]`` with ``[h, w, I, O]``; the stride is the same in both directions."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def convolve_depthwise(x: chex.Array, kernel: chex.Array, stride: int, padding: Padding) -> chex.Array:
    """Convolves each channel of images ``[B, H, W, C]`` with its own filter of ``[h, w, 1, C]``."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def max_pool(x: chex.Array, size: int, stride: int) -> chex.Array:
    """Takes the maximum over ``size`` × ``size`` windows of ``[B, H, W, C]``, without padding."""
    return nnx.max_pool(x, (size, size), strides=(stride, stride))


def for_each_image(parameter: chex.Array, x: chex.Array) -> chex.Array:
    """Repeats ``[C]`` for the images ``[B, H, W, C]``: ``[B, 1, 1, C]``."""
    return jnp.broadcast_to(parameter, (len(x), 1, 1, *parameter.shape))
