"""The agreement function Φ of eq. 2."""

import functools

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import stack
from dg_jax.surgery.accumulate import Accumulated, accumulate

_BLOCKS = 8


def accumulated(gradients: optax.Updates | Accumulated) -> Accumulated:
    """Returns stacked gradients accumulated row by row, and accumulated ones as they are.

    Raises:
        ValueError: stacked gradients that :func:`dg_jax.surgery.stack.num_rows` refuses.
    """
    if isinstance(gradients, Accumulated):
        return gradients
    stack.num_rows(gradients)
    leaves, structure = jax.tree.flatten(gradients)
    first, *others = (jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True))
    return functools.reduce(lambda before, row: accumulate(row, before), others, accumulate(first))


def conflicts(gradients: Accumulated, *, zeros_agree: bool) -> optax.Updates:
    """Marks the components whose signs disagree.

    Signs are compared by the smallest and the largest row: they disagree when zero
    lies between the two. A component with a NaN or an infinity in any row is never
    marked, so that its sum, which is not finite either, reaches the result.

    Args:
        gradients: N gradients.
        zeros_agree: whether a component that is zero in every row is in agreement
            (eq. 2 as written). If false, any zero is a conflict. A component that is
            zero in some rows only is a conflict in both readings.

    Returns:
        Pytree of ``[*shape]``, 1 - Φ as booleans. One row alone is in no conflict.
    """

    def conflict(smallest, largest):
        finite = (smallest > -jnp.inf) & (largest < jnp.inf)  # false for NaN, as every comparison with it
        disagree = (smallest <= 0) & (largest >= 0) & finite
        return disagree & ((smallest != largest) if zeros_agree else (gradients.num_rows > 1))

    return jax.tree.map(conflict, gradients.smallest, gradients.largest)


def count_agreeing(conflicting: optax.Updates) -> tuple[jax.Array, int]:
    """Returns the number of agreeing components (float32 scalar) and of all components."""
    leaves = jax.tree.leaves(conflicting)
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
