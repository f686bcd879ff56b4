"""Losses and gradients of one loss over several domains."""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from dg_jax import backend, surgery

Form = Literal["vmap", "unrolled"]

# Components of a gradient, from which on it outweighs activations: AlexNet's dense layers have 17 and 38 million.
_LARGE = 1e6


def stacked_value_and_grad(loss_fn: Callable[..., chex.Array], form: Form | None = None) -> Callable:
    """Turns a loss of one domain into losses and stacked gradients of N domains.

    Args:
        loss_fn: ``loss_fn(params, *row) -> scalar``, the loss of one domain.
        form: ``"vmap"`` is the definition, ``vmap`` over the domains. ``"unrolled"`` writes
            the N gradients one after the other, so that the activations of one domain at a
            time are kept, and gives the same numbers up to rounding. By default ``"unrolled"``
            on a CPU, else ``"vmap"``: on an H100 SmallCNN's step takes a quarter less, AlexNet's
            1% more. (Large convolutions of other libraries become grouped ones under ``vmap``,
            which are slow; those of :mod:`dg_jax.models` have a rule of their own.)

    Returns:
        ``fn(params, *stacked) -> (losses [N], stacked gradients)``; every leaf of
        ``stacked`` has a leading axis N, every leaf of the gradients is ``[N, *shape]``.

    Raises:
        ValueError: ``form`` is neither of the two.

    Example:
        >>> import jax.numpy as jnp
        >>> def loss(w, x):
        ...     return jnp.sum(w * x)
        >>> losses, gradients = stacked_value_and_grad(loss)(jnp.ones(2), jnp.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> print(losses, gradients.shape)
        [3. 7.] (2, 2)
    """
    if form is None:
        form = "unrolled" if backend.is_cpu() else "vmap"
    if form not in ("vmap", "unrolled"):
        raise ValueError(f"form={form!r}: give 'vmap' or 'unrolled'")
    value_and_grad = jax.value_and_grad(loss_fn)

    def by_vmap(params, *stacked):
        return jax.vmap(value_and_grad, in_axes=(None, *(0 for _ in stacked)))(params, *stacked)

    def unrolled(params, *stacked):
        results = [value_and_grad(params, *_row(stacked, 0))]
        for i in range(1, len(jax.tree.leaves(stacked)[0])):
            # XLA would go forwards through all domains first, and so keep the activations of all. Large gradients
            # may wait: the combiner can then take one leaf after the other, and not all need be there at once.
            small = [leaf for leaf in jax.tree.leaves(results[-1]) if 0 < leaf.size < _LARGE]
            results.append(value_and_grad(params, *_row(stacked, i + _zero_after(small))))
        return jax.tree.map(lambda *rows: jnp.stack(rows), *results)

    return by_vmap if form == "vmap" else unrolled


def accumulated_value_and_grad(loss_fn: Callable[..., chex.Array]) -> Callable:
    """Turns a loss of one domain into losses of N domains and what is accumulated of their gradients.

    The domains come one after the other, and no more than one gradient is held beside
    those accumulated: the memory does not grow with N.

    Args:
        loss_fn: ``loss_fn(params, *row) -> scalar``, the loss of one domain.

    Returns:
        ``fn(params, *stacked) -> (losses [N], surgery.Accumulated)``; every leaf of
        ``stacked`` has a leading axis N.

    Example:
        >>> import jax.numpy as jnp
        >>> def loss(w, x):
        ...     return jnp.sum(w * x)
        >>> losses, gradients = accumulated_value_and_grad(loss)(jnp.ones(2), jnp.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> print(losses, gradients.total, gradients.smallest)
        [3. 7.] [4. 6.] [1. 2.]
    """
    value_and_grad = jax.value_and_grad(loss_fn)

    def one_after_the_other(params, *stacked):
        loss, gradient = value_and_grad(params, *_row(stacked, 0))
        losses, accumulated = [loss], surgery.accumulate(gradient)
        # XLA would compute all gradients first and then fuse their sums; on a CPU it drops optimization barriers
        # before that. So each sum is a loop of one turn, out of which the number of the next domain comes. XLA would
        # unroll it, did it know that the count starts with 1.
        accumulated = accumulated._replace(num_rows=1 + _zero_after([loss]))
        for i in range(1, len(jax.tree.leaves(stacked)[0])):
            loss, gradient = value_and_grad(params, *_row(stacked, accumulated.num_rows))
            losses.append(loss)
            accumulated = jax.lax.while_loop(
                lambda sums: sums.num_rows == i,  # noqa: B023
                lambda sums: surgery.accumulate(gradient, sums),  # noqa: B023
                accumulated,
            )
        return jnp.stack(losses), accumulated

    return one_after_the_other


def _row(stacked, number):
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, number, keepdims=False), stacked)


def _zero_after(arrays) -> chex.Numeric:
    """0, but XLA, which does not know that no number is above infinity, has to compute the arrays first."""
    return sum((array.ravel()[0] > jnp.inf).astype(jnp.int32) for array in arrays)
