"""Gradients one at a time: only their sum, minimum and maximum are kept."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class Accumulated(NamedTuple):
    """What Agr-Sum and Agr-Rand need of N gradients, in the memory of three.

    Attributes:
        total: sum of the gradients, leaves ``[*shape]``, float32 for narrower ones.
        smallest: minimum of the gradients, component by component, in their dtype.
        largest: maximum of the gradients, likewise.
        num_rows: N, an int, or an int32 scalar where it came out of ``jax.jit`` or a loop.
    """

    total: optax.Updates
    smallest: optax.Updates
    largest: optax.Updates
    num_rows: int | jax.Array


def accumulate(gradient: optax.Updates, before: Accumulated | None = None) -> Accumulated:
    """Adds one gradient to those before it.

    :func:`~dg_jax.surgery.agr_sum` and :func:`~dg_jax.surgery.agr_rand` take what comes of it
    in the place of stacked gradients, so that the N gradients are never held at once. Their
    result is the same: stacked gradients too are summed in the order of their rows.

    Args:
        gradient: pytree like the parameters, leaves ``[*shape]``.
        before: the gradients so far; none for the first one.

    Raises:
        ValueError: the tree is empty, or is not like those before (the leaf is named where
            it is the shape or dtype of one).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> accumulated = None
        >>> for x in (jnp.array([1.0, 2.0]), jnp.array([3.0, -2.0])):
        ...     gradient = jax.grad(lambda w, x: w @ x)(jnp.ones(2), x)
        ...     accumulated = surgery.accumulate(gradient, accumulated)
        >>> combiner = surgery.agr_sum()
        >>> gradient, state = combiner.update(accumulated, combiner.init(jnp.ones(2)))
        >>> print(gradient, state.agreement)
        [4. 0.] 0.5
    """
    if before is None:
        if not jax.tree.leaves(gradient):
            raise ValueError("accumulated gradients: the tree has no leaves; give it one array per parameter")
        return Accumulated(jax.tree.map(_widened, gradient), gradient, gradient, 1)

    jax.tree_util.tree_map_with_path(_check_alike, before.smallest, gradient)
    return Accumulated(
        jax.tree.map(lambda total, leaf: jnp.add(total, _widened(leaf)), before.total, gradient),
        jax.tree.map(jnp.minimum, before.smallest, gradient),
        jax.tree.map(jnp.maximum, before.largest, gradient),
        before.num_rows + 1,
    )


def _widened(leaf: jax.Array) -> jax.Array:
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _check_alike(path, before: jax.Array, leaf: jax.Array) -> None:
    if before.shape != leaf.shape or before.dtype != leaf.dtype:
        raise ValueError(
            f"accumulated gradients: {jax.tree_util.keystr(path) or 'the only leaf'} is {leaf.dtype} {leaf.shape}, "
            f"but {before.dtype} {before.shape} in the gradients before"
        )
