"""Winograd's convolution, for stride 1, with half of the multiplications or fewer."""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dg_jax.models.fast import plain


class Algorithm(NamedTuple):
    """Two neighbouring outputs of a filter g over data d: ``outputs @ ((weights @ g) * (data @ d))``.

    Attributes:
        data: ``[products, taps + 1]``.
        weights: ``[products, taps]``.
        outputs: ``[2, products]``.
    """

    data: np.ndarray
    weights: np.ndarray
    outputs: np.ndarray

    def then(self, other: "Algorithm") -> "Algorithm":
        """Returns the algorithm of a longer filter: this one for its first taps, ``other`` for its last."""
        taps = self.weights.shape[1]
        data, weights = (
            np.block([[mine, np.zeros((len(mine), taps + theirs.shape[1] - mine.shape[1]))],
                      [np.zeros((len(theirs), taps)), theirs]])
            for mine, theirs in ((self.data, other.data), (self.weights, other.weights))
        )  # fmt: skip
        return Algorithm(data, weights, np.concatenate([self.outputs, other.outputs], axis=1))


_TWO = Algorithm(
    np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
    np.array([[1, 0], [1, 1], [0, 1]]),
    np.array([[1, 1, 0], [0, 1, 1]]),
)
_THREE = Algorithm(
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
)
# By the taps of the filter. One algorithm for all five taps would take 6 products instead of 7, but has
# factors up to 5, which lose a digit. These only add, subtract and halve.
ALGORITHMS = {3: _THREE, 5: _THREE.then(_TWO)}

# Bounds the memory of large batches. A lower bound is slower.
MOST_BYTES = 320e6


@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)  # traced once for all domains
def convolve(x: chex.Array, kernel: chex.Array, padding: plain.Padding, most_bytes: float = MOST_BYTES) -> chex.Array:
    """Convolves ``[B, H, W, I]`` with ``[n, n, I, O]`` and stride 1, n = 3 or 5.

    Equal, up to rounding, to ``plain.convolve(x, kernel, 1, padding)``. For 2 × 2 outputs,
    3 × 3 taps take 16 multiplications instead of 36, and 5 × 5 take 49 instead of 100. Each of
    the 16 or 49 is a matrix product.

    Rounding differs from the plain form: in float32 the error of both is within 1e-5 of the
    largest output. An infinite pixel may make its neighbours NaN.

    Args:
        x: images.
        kernel: the kernel.
        padding: zeros before and after, for height and width; a negative number cuts off.
        most_bytes: most bytes that factors and products take at a time. It bounds the number
            of images that are computed at a time.

    Reference:
        Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.

    Example:
        >>> import jax.numpy as jnp
        >>> y = convolve(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), ((1, 1), (0, 0)))
        >>> y[0, :, :, 0].tolist()
        [[6.0, 6.0], [9.0, 9.0], [9.0, 9.0], [6.0, 6.0]]
    """
    algorithm = ALGORITHMS[len(kernel)]
    height, width = (extent + sum(pad) - len(kernel) + 1 for extent, pad in zip(x.shape[1:3], padding, strict=True))
    tiles = -(-height // 2), -(-width // 2)
    weights = _both_ways(algorithm.weights, kernel)

    def of_chunk(x):
        data = _data(x, algorithm, padding, tiles)
        products = [
            [(entry @ weight).reshape(len(x), *tiles, -1) for entry, weight in zip(*row, strict=True)]
            for row in zip(data, weights, strict=True)
        ]
        y = jnp.stack([jnp.stack(row, axis=3) for row in _both_ways(algorithm.outputs, products)], axis=2)
        return y.reshape(len(x), 2 * tiles[0], 2 * tiles[1], -1)[:, :height, :width]

    bytes_of_image = len(algorithm.data) ** 2 * math.prod(tiles) * sum(kernel.shape[2:]) * kernel.dtype.itemsize
    count = max(1, math.ceil(len(x) * bytes_of_image / most_bytes))
    size = -(-len(x) // count)
    chunks = jnp.pad(x, [(0, count * size - len(x)), (0, 0), (0, 0), (0, 0)]).reshape(count, size, *x.shape[1:])
    return lax.map(of_chunk, chunks).reshape(-1, height, width, kernel.shape[3])[: len(x)]


def _data(x, algorithm, padding, tiles):
    """The images' factor of each product: a grid of arrays ``[B · tiles, I]``."""
    taps = algorithm.weights.shape[1]
    pad = [
        (before, 2 * count + taps - 1 - extent - before, 0)
        for (before, _), count, extent in zip(padding, tiles, x.shape[1:3], strict=True)
    ]
    x = lax.pad(x, jnp.zeros([], x.dtype), [(0, 0, 0), *pad, (0, 0, 0)])
    x = lax.optimization_barrier(x)  # XLA would otherwise pad again for each product
    entries = [
        [x[:, i : i + 2 * tiles[0] : 2, j : j + 2 * tiles[1] : 2].reshape(-1, x.shape[3]) for j in range(taps + 1)]
        for i in range(taps + 1)
    ]
    return _both_ways(algorithm.data, entries)


def _both_ways(matrix, grid):
    """``matrix`` times ``grid`` times its transpose; the entries of the grid are arrays."""
    rows = [_times(matrix, row) for row in grid]
    columns = [_times(matrix, column) for column in zip(*rows, strict=True)]
    return list(zip(*columns, strict=True))


def _times(matrix, entries):
    return [
        functools.reduce(
            jnp.add,
            [entry if factor == 1 else factor * entry for factor, entry in zip(row, entries, strict=True) if factor],
        )
        for row in matrix.tolist()
    ]
