"""PCGrad: a gradient loses what it has against the others (paper, eq. 5)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import reduce, stack

# For rows as long as this the pairs take a fifteenth of the matrix product's time on a CPU; for shorter ones compiling
# them is not worth it.
_LONG = 2**15
# So few rows take a third of the matrix product's time on an H100, too; eight take longer.
_FEW = 4
# Inner products in one pass: all of N = 4. More than a CPU has registers for take longer.
_TOGETHER = 10


class PCGradState(NamedTuple):
    """The random key, and what the last update saw.

    The cosines are kept as scalars because the state's shape must be known from the
    parameters alone, before N is.

    Attributes:
        key: typed PRNG key from which the next update draws its orders.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines, float32 scalar; 1 for N = 1
            and before the first update. A zero gradient has cosine 0 with any other.
        cosine_min: the smallest of them, likewise.
        conflicting: fraction of the pairs with a negative cosine, float32 scalar.
    """

    key: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array


def pcgrad(seed: int = 0) -> optax.GradientTransformationExtraArgs:
    """Projects each gradient off the others that it conflicts with, then sums.

    Gradient i is taken through all other *original* gradients j in a random order of
    its own; where its inner product with g(j) is negative, the part along g(j) is
    removed. Nothing is projected on a zero gradient. Every projected gradient is a
    linear combination of the rows, so all of this happens on the N × N matrix of inner
    products, and the gradients themselves are read twice only.

    Args:
        seed: seed of the key that the state holds; an integer, or a traced one under
            ``jax.vmap`` over seeds.

    Returns:
        A combiner: ``update`` takes leaves ``[N, *shape]`` and returns ``[*shape]`` in
        the leaves' dtype (inner products are taken in float32 over the whole tree). Its
        state is a :class:`PCGradState`, whose key advances at each update. N = 1 gives
        back the one gradient. A NaN or an infinity in any row reaches the result.
        Leaves that disagree in N, and an empty tree, are a ``ValueError`` that names the
        leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.pcgrad(seed=0)
        >>> stacked = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
        >>> gradient, state = combiner.update(stacked, combiner.init(jnp.zeros(2)))
        >>> print(gradient, state.conflicting)
        [0.5 1.5] 1.0

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021, eq. 5;
        Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1.
    """

    def init(params):
        del params
        one = jnp.ones([], jnp.float32)
        return PCGradState(jax.random.key(seed), one, one, jnp.zeros([], jnp.float32))

    def update(stacked, state, params=None, **extra):
        del params, extra
        n = stack.num_rows(stacked)
        next_key, order_key = jax.random.split(state.key)
        cosines, norms = _cosines_and_norms(stacked)
        weights = _projected_weights(order_key, cosines, norms)
        return stack.weighted_sum(stacked, weights), PCGradState(next_key, *_summary(cosines, n))

    return optax.GradientTransformationExtraArgs(init, update)


def _inner_products(rows: jax.Array) -> jax.Array:
    """Returns ``rows @ rows.T``, ``[N, N]``, for ``rows [N, n]``."""
    if rows.shape[1] < _LONG:
        return _matrix_product(rows)
    if len(rows) <= _FEW:
        return _pair_by_pair(rows)
    return jax.lax.platform_dependent(rows, cpu=_pair_by_pair, default=_matrix_product)


def _matrix_product(rows):
    return jnp.dot(rows, rows.T, precision=jax.lax.Precision.HIGHEST)  # a GPU may otherwise round to TF32


def _pair_by_pair(rows):
    upper, lower = np.triu_indices(len(rows))
    pairs = list(zip(upper.tolist(), lower.tolist(), strict=True))
    products = [
        product
        for start in range(0, len(pairs), _TOGETHER)
        for product in reduce.sums(*(rows[i] * rows[j] for i, j in pairs[start : start + _TOGETHER]))
    ]
    matrix = jnp.zeros((len(rows), len(rows)), jnp.float32)
    return matrix.at[upper, lower].set(jnp.stack(products)).at[lower, upper].set(jnp.stack(products))


@jax.jit  # so that a call outside of jit does not trace the branches anew each time
def _cosines_and_norms(stacked: optax.Updates) -> tuple[jax.Array, jax.Array]:
    """Returns pairwise cosines ``[N, N]`` and norms ``[N]`` of the rows, float32.

    Squares of very large or small gradients leave float32's range; then, and only
    then, one more pass scales each row by its largest entry.
    """
    n = stack.num_rows(stacked)
    leaves = [leaf.reshape(n, -1).astype(jnp.float32) for leaf in jax.tree.leaves(stacked)]

    def rescaled():
        largest = [jnp.max(jnp.abs(leaf), axis=1, initial=0) for leaf in leaves]
        scales = functools.reduce(jnp.maximum, largest)
        # XLA divides by multiplying with the reciprocal, which is subnormal, and so zero, beyond 2^126.
        scales = jnp.minimum(jnp.where(scales == 0, 1, scales), 2.0**126)
        # All the pairs of many rows a second time would take as long to compile as the first.
        inner_products = _inner_products if n <= _FEW else _matrix_product
        return sum(inner_products(leaf / scales[:, None]) for leaf in leaves), scales

    ones = jnp.ones(n, jnp.float32)
    products = sum(_inner_products(leaf) for leaf in leaves)
    squares = jnp.diagonal(products)
    in_range = jnp.all((squares > 1e-30) & (squares < 1e30))
    products, scales = jax.lax.cond(in_range, lambda: (products, ones), rescaled)
    lengths = jnp.sqrt(jnp.diagonal(products))
    lengths_or_one = jnp.where(lengths == 0, 1, lengths)
    return products / lengths_or_one[:, None] / lengths_or_one, lengths * scales


@jax.jit
def _projected_weights(key: jax.Array, cosines: jax.Array, norms: jax.Array) -> jax.Array:
    """Returns the weight of each row in the sum of all projected gradients, ``[N]``.

    Row i of ``coefficients`` writes the projected gradient i, in units of its own
    norm, as a combination of the N unit gradients; all i take their steps side by side.
    """
    n = norms.shape[0]
    row = jnp.arange(n)
    orders = jax.random.permutation(key, jnp.tile(row, (n, 1)), axis=1, independent=True)

    def project(position, coefficients):
        other = orders[:, position]
        inner = jnp.sum(coefficients * cosines[other], axis=1)
        against = jnp.where((other != row) & (inner < 0), inner, 0)
        return coefficients.at[row, other].add(-against)

    coefficients = jax.lax.fori_loop(0, n, project, jnp.eye(n))
    # A ratio of norms may leave float32 where the weight does not, so their exponents are kept apart.
    mantissas, exponents = jnp.frexp(jnp.where(norms == 0, 1, norms))
    scaled = coefficients * jnp.where(norms == 0, 0, mantissas)[:, None] / mantissas
    in_units_of_rows = jnp.ldexp(scaled, exponents[:, None] - exponents)
    # A gradient is never projected on itself, so its own coefficient is exactly 1.
    return 1 + jnp.sum(jnp.where(row[:, None] == row, 0, in_units_of_rows), axis=0)


def _summary(cosines: jax.Array, n: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns mean, minimum and negative fraction of the cosines of all pairs of rows."""
    if n == 1:
        one = jnp.ones([], jnp.float32)
        return one, one, jnp.zeros([], jnp.float32)
    pairs = jnp.clip(cosines[jnp.triu_indices(n, k=1)], -1, 1)
    return jnp.mean(pairs), jnp.min(pairs), jnp.mean(pairs < 0, dtype=jnp.float32)
