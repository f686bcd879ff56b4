"""The agreement function Φ of eq. 2."""

import functools

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import stack
from dg_jax.surgery.accumulate import Accumulated, accumulate


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
    agreeing = sum(leaf.size - jnp.sum(leaf).astype(jnp.float32) for leaf in leaves)
    return jnp.asarray(agreeing, jnp.float32), sum(leaf.size for leaf in leaves)
