"""Resizes many pictures of one size at once, with the same bits as Pillow."""

import functools
import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Enough to hide the cost of a call, few enough for a processor's cache.
_AT_ONCE = 8
# Pillow computes in integers: weights are multiples of 2^-22.
_PRECISION = 22
# If the sizes are close to each other, there are only a few different offsets from a new pixel to its taps. Slices
# shifted by these offsets are then quicker than picking the taps.
_FEW_OFFSETS = 8


def bilinear(pictures: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Resizes square pictures bilinearly. A pixel of a smaller picture averages all pixels that it covers.

    >>> half_black = np.array([[[0, 0, 0], [200, 100, 50]]] * 2, np.uint8)
    >>> bilinear([half_black], 1).tolist()
    [[[[100, 50, 25]]]]

    Args:
        pictures: n of uint8 ``[S, S, 3]``, all of one size. (If a picture is not square,
            some releases of Pillow resize the height first, which rounds differently.)
        size: height and width wanted, in pixels.

    Returns:
        uint8 ``[n, size, size, 3]``, exactly the values of Pillow's ``Image.resize`` with
        ``Resampling.BILINEAR``.
    """
    if all(one.shape == (size, size, 3) for one in pictures):
        return np.stack(pictures)
    resized = np.empty((len(pictures), size, size, 3), np.uint8)
    with jax.default_device(_device()):
        for start in range(0, len(pictures), _AT_ONCE):
            some = pictures[start : start + _AT_ONCE]
            # Always the same number, so that the passes are compiled once.
            stacked = np.stack([*some, *[some[0]] * (_AT_ONCE - len(some))])
            # Two programs, since XLA would compute the first pass again for each row that the second reads.
            result = _pass(_pass(stacked, size, axis=2), size, axis=1)
            resized[start : start + len(some)] = np.asarray(result)[: len(some)]
    return resized


@functools.partial(jax.jit, static_argnames=("size", "axis"))
def _pass(images: chex.Array, size: int, axis: int) -> chex.Array:
    """Resizes images uint8 ``[n, H, W, 3]`` along one axis."""
    outer, inner = images.shape[:axis], images.shape[axis + 1 :]
    rows = images.reshape(math.prod(outer), images.shape[axis], math.prod(inner))
    # 32-bit integers are enough: the weights of a pixel add up to 2^22, up to rounding, and a value has 8 bits.
    total = jnp.int32(1 << (_PRECISION - 1))
    positions, weights = taps(images.shape[axis], size)
    offsets = positions - np.arange(size)
    distinct = np.unique(offsets[weights > 0])
    if len(distinct) <= _FEW_OFFSETS:
        before, behind = max(0, -distinct[0]), max(0, distinct[-1] + size - images.shape[axis])
        padded = jnp.pad(rows, ((0, 0), (before, behind), (0, 0)))
        for offset in distinct:
            shifted = padded[:, before + offset : before + offset + size]
            total += shifted.astype(jnp.int32) * np.where(offsets == offset, weights, 0).sum(axis=0)[None, :, None]
    else:
        for of_tap, weights_of_tap in zip(positions, weights, strict=True):
            taken = rows.at[:, of_tap].get(mode="promise_in_bounds")
            total += taken.astype(jnp.int32) * weights_of_tap[None, :, None]
    return (total >> _PRECISION).astype(jnp.uint8).reshape(*outer, size, *inner)


def taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which pixels make up each new pixel, and their weights.

    Returns:
        Positions int32 in ``[0, size)`` and weights int32 in multiples of 2^-22, both ``[taps, new_size]``.
    """
    scale = size / new_size
    reach = max(scale, 1.0)
    centers = (np.arange(new_size) + 0.5) * scale
    first = np.maximum(np.floor(centers - reach + 0.5), 0).astype(np.int32)
    positions = first + np.arange(2 * math.ceil(reach) + 1, dtype=np.int32)[:, None]
    weights = np.maximum(1 - np.abs((positions - centers + 0.5) / reach), 0) * (positions < size)
    # Added one after another, as in Pillow; `sum` may add in another order.
    weights /= np.cumsum(weights, axis=0)[-1]
    used = np.any(weights > 0, axis=1)
    return np.minimum(positions, size - 1)[used], np.floor(weights * 2**_PRECISION + 0.5).astype(np.int32)[used]


def _device() -> jax.Device | None:
    """Returns the CPU, also if a GPU trains; the default device if JAX was told to use no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
