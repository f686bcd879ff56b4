"""Stacked gradients: their check and their weighted sum.

The arithmetic is written over the N rows, and not as a reduction of the leading
axis, because XLA then makes one pass of it over the memory (on a CPU some ten
times faster than ``jnp.sum(axis=0)``).
"""

import functools

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery.accumulate import Accumulated


def num_rows(stacked: optax.Updates) -> int:
    """Returns N, the length of the leading axis that all leaves share.

    Args:
        stacked: pytree of arrays ``[N, *shape]``.

    Raises:
        ValueError: the tree has no leaf, or a leaf (named by its path) has no
            leading axis, no row, or another number of rows than the first leaf; or it
            is an ``Accumulated``, in which there are no rows any more.
    """
    if isinstance(stacked, Accumulated):
        raise ValueError("stacked gradients: these are accumulated, which only agr_sum and agr_rand take")
    leaves = jax.tree_util.tree_leaves_with_path(stacked)
    if not leaves:
        raise ValueError("stacked gradients: the tree has no leaves; give it one array [N, ...] per parameter")
    first_path, first = leaves[0]
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path) or "the only leaf"
        if jnp.ndim(leaf) == 0 or jnp.shape(leaf)[0] == 0:
            raise ValueError(
                f"stacked gradients: {name} has shape {jnp.shape(leaf)}; "
                "it needs a leading axis with one row per gradient"
            )
        if jnp.shape(leaf)[0] != jnp.shape(first)[0]:
            raise ValueError(
                f"stacked gradients: {name} has {jnp.shape(leaf)[0]} rows, but "
                f"{jax.tree_util.keystr(first_path)} has {jnp.shape(first)[0]}; all leaves need the same N"
            )
    return jnp.shape(first)[0]


def weighted_sum(stacked: optax.Updates, weights: jax.Array) -> optax.Updates:
    """Returns the combination of the rows with one weight for each of them.

    Args:
        stacked: pytree of ``[N, *shape]``.
        weights: ``[N]``, float32.

    Returns:
        Pytree of ``[*shape]``, each leaf in its own dtype; summed in float32.
    """

    def combine(leaf):
        wide = jnp.promote_types(leaf.dtype, jnp.float32)
        scaled = [row.astype(wide) * weight for row, weight in zip(leaf, weights, strict=True)]
        return functools.reduce(jnp.add, scaled).astype(leaf.dtype)

    return jax.tree.map(combine, stacked)
