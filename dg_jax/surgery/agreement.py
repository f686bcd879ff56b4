"""The agreement function Φ of eq. 2, and the sum of the rows beside it."""

import functools

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import stack

_BLOCKS = 8


def sum_and_conflict(stacked: optax.Updates, *, zeros_agree: bool) -> tuple[optax.Updates, optax.Updates]:
    """Sums the rows and marks the components whose signs disagree.

    Signs are compared by the smallest and the largest row: they disagree when zero
    lies between the two. A component with a NaN or an infinity in any row is never
    marked, so that its sum, which is not finite either, reaches the result.

    Args:
        stacked: pytree of ``[N, *shape]``.
        zeros_agree: whether a component that is zero in every row is in agreement
            (eq. 2 as written). If false, any zero is a conflict. A component that is
            zero in some rows only is a conflict in both readings.

    Returns:
        Two pytrees of ``[*shape]``: sums (float32 for narrower leaves) and conflicts,
        1 - Φ, as booleans. One row alone is in no conflict.
    """

    def total(leaf):
        return functools.reduce(jnp.add, stack.rows_in_float32(leaf))

    def conflict(leaf):
        rows = list(leaf)
        if len(rows) == 1:
            return jnp.zeros(rows[0].shape, bool)
        smallest = functools.reduce(jnp.minimum, rows)
        largest = functools.reduce(jnp.maximum, rows)
        finite = (smallest > -jnp.inf) & (largest < jnp.inf)  # false for NaN, as every comparison with it
        disagree = (smallest <= 0) & (largest >= 0) & finite
        return disagree & (smallest != largest) if zeros_agree else disagree

    return jax.tree.map(total, stacked), jax.tree.map(conflict, stacked)


def count_agreeing(conflicts: optax.Updates) -> tuple[jax.Array, int]:
    """Returns the number of agreeing components (float32 scalar) and of all components."""
    leaves = jax.tree.leaves(conflicts)
    count = functools.partial(jax.lax.platform_dependent, cpu=_count_by_blocks, default=jnp.sum)
    agreeing = sum(leaf.size - count(leaf).astype(jnp.float32) for leaf in leaves)
    return jnp.asarray(agreeing, jnp.float32), sum(leaf.size for leaf in leaves)


def _count_by_blocks(mask: jax.Array) -> jax.Array:
    """Counts what is true, ``jnp.sum(mask)``: first block upon block, then within the block.

    XLA:CPU fuses the first with what makes the mask, but before a reduction alone it
    would write the mask to memory, which costs as much again as the whole sum.
    """
    flat = mask.ravel()
    length = flat.size // _BLOCKS
    blocks = [flat[k * length : (k + 1) * length] for k in range(_BLOCKS)]
    stacked_up = functools.reduce(jnp.add, [block.astype(jnp.int32) for block in blocks])
    return jnp.sum(stacked_up) + jnp.sum(flat[_BLOCKS * length :].astype(jnp.int32))
