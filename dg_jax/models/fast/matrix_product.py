"""A convolution as one matrix product."""

import chex
import jax.numpy as jnp

from dg_jax.models.fast import plain


def as_matrix_product(x: chex.Array, kernel: chex.Array, stride: int, padding: plain.Padding) -> chex.Array:
    """Convolves as :func:`plain.convolve` does: the matrix of all windows times the kernel.

    The matrix is ``[B · H' · W', h · w · I]``.
    """
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((have - size) // stride + 1 for have, size in zip(x.shape[1:3], kernel.shape[:2], strict=True))
    offsets = [
        x[:, a : a + stride * (rows - 1) + 1 : stride, b : b + stride * (columns - 1) + 1 : stride]
        for a in range(kernel.shape[0])
        for b in range(kernel.shape[1])
    ]
    weights = kernel.reshape(-1, kernel.shape[-1])
    windows = jnp.concatenate(offsets, axis=-1).reshape(-1, len(weights))  # as one matrix, gradients need no copy
    return (windows @ weights).reshape(len(x), rows, columns, -1)
