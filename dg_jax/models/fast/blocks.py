"""Images as blocks of pixels."""

import chex
import jax.numpy as jnp
from jax import lax

from dg_jax.models.fast import plain


def to_blocks(x: chex.Array, size: int, padding: plain.Padding, counts: tuple[int, int]) -> chex.Array:
    """Cuts images into blocks of size × size pixels: ``[B, H, W, I]`` to ``[B, *counts, size · size · I]``.

    The images are padded or cut at their end to fit this number of blocks.
    """
    pad = [
        (before, count * size - extent - before, 0)
        for (before, _), count, extent in zip(padding, counts, x.shape[1:3], strict=True)
    ]
    x = lax.pad(x, jnp.zeros([], x.dtype), [(0, 0, 0), *pad, (0, 0, 0)])
    x = x.reshape(x.shape[0], counts[0], size, counts[1], size, x.shape[3])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], *counts, -1)
