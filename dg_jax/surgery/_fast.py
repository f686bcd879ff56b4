"""Operations in forms that a device computes faster than what XLA makes of the plain expressions.

Each function is named by what it computes, and its docstring shows the plain expression that it replaces.
With ``DG_JAX_PLAIN=1`` in the environment, read once at import, all of them use the plain expressions.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from dg_jax.surgery import _mesh

PLAIN = os.environ.get("DG_JAX_PLAIN", "") not in ("", "0")

_CHAINS = 4096  # partial sums; with fewer, long sums lose their last digits on a CPU
_BLOCKS = 8
_LONG = 2**15  # shorter rows are faster as one matrix product
_FEW = 4  # so few rows have at most ten pairs, which fit into a CPU's registers
_PIECE = 2**19  # components of all rows together that stay in a CPU's cache
_MOST_IN_NETWORK = 16
_VECTOR = 8  # XLA:CPU computes so many components at once, but one by one if the length is not a multiple of it
# Two rounds of shift and multiply, with the constants that Chris Wellons' search found to leave the least bias:
# https://github.com/skeeto/hash-prospector
_ROUNDS = ((16, 0x21F0AAAD, 15, 0x735A2D97, 15), (16, 0x7FEB352D, 15, 0x846CA68B, 16))

_PLAIN_REDUCTIONS: dict[Any, Callable[..., jax.Array]] = {
    jnp.add: jnp.sum,
    jnp.minimum: jnp.min,
    jnp.maximum: jnp.max,
}

T = TypeVar("T")


def over_rows(operation: Callable[[Any, Any], Any], rows: jax.Array | list[jax.Array]) -> jax.Array:
    """Reduces the leading axis: ``jnp.sum(rows, axis=0)`` for ``jnp.add``, and the same for minimum and maximum.

    This is one pass over the memory. XLA:CPU compiles the plain reduction to a far slower one.

    Args:
        operation: ``jnp.add``, ``jnp.minimum`` or ``jnp.maximum``.
        rows: ``[N, *shape]``, N at least 1.

    Returns:
        ``[*shape]``.
    """
    if PLAIN:
        return _PLAIN_REDUCTIONS[operation](jnp.stack(list(rows)), axis=0)
    reduced: jax.Array = functools.reduce(operation, rows)
    return reduced


def sorted_rows(rows: list[jax.Array]) -> list[jax.Array]:
    """Sorts each component over the rows: ``list(jnp.sort(jnp.stack(rows), axis=0))``.

    A network of minima and maxima, which XLA fuses into one pass; its sort is far slower on a CPU. Beyond 16 rows the
    network would take long to compile, so they are sorted.

    Args:
        rows: N of ``[*shape]``.

    Returns:
        N of ``[*shape]``, the smallest first. Where a row is NaN the order is undefined.
    """
    if PLAIN or len(rows) > _MOST_IN_NETWORK:
        return list(jnp.sort(jnp.stack(rows), axis=0))
    rows = list(rows)
    for turn in range(len(rows)):  # odd and even neighbours in turns: N turns sort N rows
        for i in range(turn % 2, len(rows) - 1, 2):
            rows[i], rows[i + 1] = jnp.minimum(rows[i], rows[i + 1]), jnp.maximum(rows[i], rows[i + 1])
    return rows


def computed_once(weights: jax.Array) -> jax.Array:
    """Makes XLA compute N weights once, before they are used: ``weights``.

    XLA:CPU would move the computation of the weights into the loop over millions of components that uses them, and
    repeat it for each component. It does not move a sum.

    Args:
        weights: ``[N]``.

    Returns:
        ``[N]``.
    """
    if PLAIN:
        return weights
    return jnp.sum(jnp.where(jnp.eye(len(weights), dtype=bool), weights, 0), axis=1)


@jax.custom_jvp
@jax.jit  # here and below, so that a call outside of jit does not trace both forms each time
def sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Sums each of several arrays of one shape: ``tuple(jnp.sum(array) for array in arrays)``.

    XLA:CPU computes one sum after the other, on one thread. Together they are one loop on all threads, fused with the
    computation of the arrays.

    Args:
        arrays: of one shape; each is summed in its own dtype.

    Returns:
        A scalar for each.
    """
    return _by_device(_plain_sums, _sums_in_chains, *arrays)


@sums.defjvp
def _sums_jvp(primals: Any, tangents: Any) -> Any:
    is_real = [jnp.issubdtype(array.dtype, jnp.floating) for array in primals]
    along = [jnp.sum(t) if real else np.zeros((), jax.dtypes.float0) for t, real in zip(tangents, is_real, strict=True)]
    return sums(*primals), tuple(along)


def _plain_sums(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.sum(array, dtype=array.dtype) for array in arrays)


def _sums_in_chains(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    length = arrays[0].size // _CHAINS
    whole = _CHAINS * length
    flat = [array.ravel() for array in arrays]
    chains = jax.lax.reduce(
        tuple(array[:whole].reshape(_CHAINS, length) for array in flat),
        tuple(jnp.zeros([], array.dtype) for array in flat),
        lambda before, terms: tuple(map(jnp.add, before, terms)),
        dimensions=(1,),
    )
    rests = _plain_sums(*(array[whole:] for array in flat))
    return tuple(map(jnp.add, _plain_sums(*chains), rests))


@jax.jit
def count(mask: jax.Array) -> jax.Array:
    """Counts what is true: ``jnp.sum(mask)``, int32.

    Adds the blocks of the mask to each other first. XLA:CPU fuses this with the computation of the mask; before a plain
    reduction it would write the mask to memory, which is slow.
    """
    return _by_device(_plain_count, _count_in_blocks, mask)


def _plain_count(mask: jax.Array) -> jax.Array:
    return jnp.sum(mask, dtype=jnp.int32)


def _count_in_blocks(mask: jax.Array) -> jax.Array:
    flat = mask.ravel()
    length = flat.size // _BLOCKS
    blocks = [flat[k * length : (k + 1) * length].astype(jnp.int32) for k in range(_BLOCKS)]
    return _plain_count(functools.reduce(jnp.add, blocks)) + _plain_count(flat[_BLOCKS * length :])


@functools.partial(jax.jit, static_argnums=(1, 2))
def inner_products(
    rows: jax.Array, dtype: jax.typing.DTypeLike, then_freed: bool = False, scales: jax.Array | None = None
) -> jax.Array:
    """Returns the inner products of all pairs of rows: ``rows @ rows.T`` of ``rows / scales[:, None]`` in ``dtype``.

    On a CPU the matrix product of a few rows with millions of columns is far slower than one pass over the memory. So
    few rows are multiplied pair by pair in one pass, and many piece by piece.

    Args:
        rows: ``[N, n]``.
        dtype: dtype of the computation, at least as wide as that of the rows.
        then_freed: whether nothing else needs the rows. Then many rows are multiplied as a whole: during a loop over
            pieces XLA:CPU would compute the rows of the next leaves, and hold those of three leaves at once.
        scales: what the rows are divided by, ``[N]`` in ``dtype``; 1 by default. Each piece is scaled in the loop, as
            XLA would write whole scaled rows to memory before it.

    Returns:
        ``[N, N]``.
    """

    def scaled(part: jax.Array) -> jax.Array:
        return part.astype(dtype) if scales is None else part.astype(dtype) / scales[:, None]

    if rows.shape[1] < _LONG or (then_freed and len(rows) > _FEW):
        return _matrix_product(scaled(rows))
    if len(rows) <= _FEW:  # quicker on an H100, too
        return _matrix_product(scaled(rows)) if PLAIN else _pair_by_pair(scaled(rows))
    return _by_device(lambda rows: _matrix_product(scaled(rows)), lambda rows: _in_pieces(rows, scaled), rows)


def _matrix_product(rows: jax.Array) -> jax.Array:
    return jnp.dot(rows, rows.T, precision=jax.lax.Precision.HIGHEST)  # a GPU may otherwise round to TF32


def _pair_by_pair(rows: jax.Array) -> jax.Array:
    upper, lower = np.triu_indices(len(rows))
    products = jnp.stack(sums(*(rows[i] * rows[j] for i, j in zip(upper.tolist(), lower.tolist(), strict=True))))
    matrix = jnp.zeros((len(rows), len(rows)), rows.dtype)
    return matrix.at[upper, lower].set(products).at[lower, upper].set(products)


def _in_pieces(rows: jax.Array, scaled: Callable[[jax.Array], jax.Array]) -> jax.Array:
    length = min(max(_PIECE // len(rows), 1), rows.shape[1])
    whole = rows.shape[1] // length

    def add(k: jax.Array, before: jax.Array) -> jax.Array:
        piece = jax.lax.dynamic_slice_in_dim(rows, k * length, length, axis=1)
        return before + _matrix_product(scaled(piece))

    products: jax.Array = jax.lax.fori_loop(0, whole, add, _matrix_product(scaled(rows[:, whole * length :])))
    return products


def noise_where(conflict: jax.Array, key: jax.Array, sigma: jax.Array, total: jax.Array) -> jax.Array:
    """Puts noise where there is conflict: ``jnp.where(conflict, sigma * jax.random.normal(key, total.shape), total)``.

    Draws with :func:`normal`, so the draws differ from those of the plain expression; their distribution does not.

    Args:
        conflict: bool ``[*shape]``.
        key: typed PRNG key.
        sigma: standard deviation, scalar in the dtype of ``total``.
        total: ``[*shape]``.
    """
    if PLAIN:
        return jnp.where(conflict, sigma * jax.random.normal(key, total.shape, total.dtype), total)
    noisy: jax.Array = _hashed_noise_where(conflict, key, sigma, total)
    return noisy


@jax.jit
def _hashed_noise_where(conflict: jax.Array, key: jax.Array, sigma: jax.Array, total: jax.Array) -> jax.Array:
    def noise(start: int, stop: int) -> jax.Array:
        return sigma * normal(key, start, stop).astype(total.dtype)

    whole = total.size - total.size % _VECTOR
    if whole == total.size or _mesh.is_on_a_mesh(total):
        return jnp.where(conflict, noise(0, total.size).reshape(total.shape), total)
    flat_conflict, flat = conflict.ravel(), total.ravel()
    parts = [
        jnp.where(flat_conflict[start:stop], noise(start, stop), flat[start:stop])
        for start, stop in ((0, whole), (whole, total.size))
    ]
    return jnp.concatenate(parts).reshape(total.shape)


def normal(key: jax.Array, start: int, stop: int) -> jax.Array:
    """Returns components ``start`` to ``stop`` of an endless list of draws: ``jax.random.normal(key, [stop - start])``.

    Each draw is a hash of the key and its place, so it does not depend on how an array is split over devices. This is
    faster than threefry, which takes more operations for each number: noise needs no cryptography.

    Args:
        key: typed PRNG key of any implementation.
        start: place of the first.
        stop: place after the last. After 2³² places the list repeats itself.

    Returns:
        float32 ``[stop - start]``, each one of 2²⁴ values between -5.42 and 5.42, none of them 0.
    """
    uniform = _uniform(key, jax.lax.iota(jnp.uint32, stop - start) + jnp.uint32(start))
    draws: jax.Array = np.sqrt(2, dtype=np.float32) * jax.lax.erf_inv(uniform)
    return draws


def is_drawn(key: jax.Array, share: jax.Array) -> jax.Array:
    """Draws true with given probabilities: ``jax.random.uniform(key, share.shape, share.dtype) < share``.

    Draws with the hash of :func:`normal`, so the draws differ from those of the plain expression; their distribution
    does not.

    Args:
        key: typed PRNG key.
        share: the probabilities, ``[*shape]``.
    """
    if PLAIN:
        return jax.random.uniform(key, share.shape, share.dtype) < share
    places = jax.lax.iota(jnp.uint32, share.size).reshape(share.shape)
    is_below: jax.Array = _uniform(key, places) < 2 * share - 1  # not + 1 on the left, as that may round to 2
    return is_below


def _uniform(key: jax.Array, places: jax.Array) -> jax.Array:
    """Hashes each place, uint32, to a number between -1 and 1, float32."""
    words = jax.random.bits(key, (len(_ROUNDS),), jnp.uint32)
    hashed = places
    for word, (shift1, factor1, shift2, factor2, shift3) in zip(words, _ROUNDS, strict=True):
        hashed = hashed ^ word
        hashed = (hashed ^ (hashed >> jnp.uint32(shift1))) * jnp.uint32(factor1)
        hashed = (hashed ^ (hashed >> jnp.uint32(shift2))) * jnp.uint32(factor2)
        hashed = hashed ^ (hashed >> jnp.uint32(shift3))
    # 24 bits with a sign, as the odd multiples of 2⁻²⁴ between -1 and 1.
    signed = jax.lax.bitcast_convert_type(hashed, jnp.int32) >> jnp.int32(8)
    between: jax.Array = signed.astype(jnp.float32) * 2**-23 + 2**-24
    return between


def by_vmap_or_unrolled(by_vmap: Callable[..., Any], unrolled: Callable[..., Any], params: Any, *stacked: Any) -> Any:
    """Computes the gradients of N rows: ``by_vmap(params, *stacked)``; under ``jit`` on a CPU one row after the other.

    Unrolled, only one domain's activations are kept at a time. On a GPU ``vmap`` is quicker for a small network, and as
    quick for a large one. (Large convolutions become grouped ones under ``vmap``, which are slow; those of
    dg_jax.models have a rule of their own.) Outside of ``jit`` unrolling gains nothing.
    """
    if PLAIN or not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, stacked))):
        return by_vmap(params, *stacked)
    return jax.lax.platform_dependent(params, *stacked, cpu=unrolled, default=by_vmap)


def _by_device(plain: Callable[..., T], on_cpu: Callable[..., T], *arrays: jax.Array) -> T:
    """Computes ``plain(*arrays)``, on a CPU in another form, which cuts arrays into pieces.

    Not on a mesh: there the pieces would lie on several devices, and be sent between them.
    """
    if PLAIN or _mesh.is_on_a_mesh(arrays):
        return plain(*arrays)
    chosen: T = jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=plain)
    return chosen
