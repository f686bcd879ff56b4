"""Computes inner products of per-sample gradients, without all of these gradients in memory."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

MEMORY = 2 * 2**30
_MOST_AT_ONCE = 8


def make_gram(gradients_of: Callable[..., chex.ArrayTree], memory: int = MEMORY) -> Callable:
    """Builds a function for the inner products of all pairs of per-sample gradients.

    Samples are taken in small chunks; each chunk is one call of one compiled program. As many chunks of gradients as
    fit are held in memory. They are multiplied with each other and with those of every later chunk, one chunk at a
    time. So gradients that all fit are computed once; otherwise those of later chunks are computed several times. The
    products are summed leaf by leaf: a gradient is never copied into one long vector.

    Args:
        gradients_of: ``gradients_of(params, samples) -> stacked gradients``, row i being the
            gradient of the loss of sample i.
        memory: bytes that the gradients in memory may take. At least two gradients are always held.

    Returns:
        ``gram(params, samples) -> float32 [M, M]`` as a NumPy array, where each leaf of
        ``samples`` has a leading axis M. Entry (i, j) is the inner product of the
        gradients of samples i and j. Products are accumulated in float32.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def loss(w, x):
        ...     return jnp.sum(w * x)
        >>> gram = make_gram(jax.vmap(jax.grad(loss), in_axes=(None, 0)))
        >>> print(gram(jnp.ones(2), jnp.array([[3.0, 4.0], [1.0, 0.0]])))
        [[25.  3.]
         [ 3.  1.]]
    """
    compiled_gradients_of = jax.jit(gradients_of)
    products_of = jax.jit(_products)

    def gram(params: chex.ArrayTree, samples: chex.ArrayTree) -> np.ndarray:
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        chunk = max(1, min(_MOST_AT_ONCE, memory // (8 * size)))
        held = max(1, memory // (chunk * size) - 1)
        total = len(jax.tree.leaves(samples)[0])
        # All chunks have one shape; the last is filled up with copies of the last sample, dropped at the end.
        rows = np.minimum(np.arange(-(-total // chunk) * chunk), total - 1).reshape(-1, chunk)

        def gradients(number: int) -> chex.ArrayTree:
            return compiled_gradients_of(params, jax.tree.map(lambda leaf: leaf[rows[number]], samples))

        products = np.zeros((len(rows), chunk, len(rows), chunk), np.float32)

        def multiply(i: int, j: int, left: chex.ArrayTree, right: chex.ArrayTree) -> None:
            products[i, :, j] = products_of(left, right)
            products[j, :, i] = products[i, :, j].T

        for start in range(0, len(rows), held):
            kept: dict[int, chex.ArrayTree] = {}
            for j in range(start, len(rows)):
                newest = gradients(j)
                if j < start + held:
                    kept[j] = newest
                for i, earlier in kept.items():
                    multiply(i, j, earlier, newest)
                del newest  # before the next one is made
        return products.reshape(rows.size, rows.size)[:total, :total]

    return gram


def _products(left: chex.ArrayTree, right: chex.ArrayTree) -> chex.Array:
    """Returns the ``[c, c]`` inner products of the rows of stacked gradients, summed leaf by leaf."""

    def of_leaf(a, b):
        # Otherwise a GPU would round the factors to 11 bits.
        return jnp.matmul(a.reshape(len(a), -1), b.reshape(len(b), -1).T, precision=jax.lax.Precision.HIGHEST)

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, left, right)))
