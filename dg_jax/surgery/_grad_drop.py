"""GradDrop: keeps only one sign of each component, drawn at random by its share."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _components, _fast, _jacobian
from dg_jax.surgery._jacobian import Jacobian


class GradDropState(NamedTuple):
    """The random key, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws.
        agreement: share of components in which all N signs are the same, scalar; 1 before the first update.
    """

    key: jax.Array
    agreement: jax.Array


def grad_drop(key: int | jax.Array = 0, leak: float | jax.Array = 0.0) -> optax.GradientTransformationExtraArgs:
    r"""Draws a sign for each component and sums the gradients that have it.

    .. math:: P_j = \frac12 \Big( 1 + \frac{\sum_i g_j^{(i)}}{\sum_i |g_j^{(i)}|} \Big), \qquad
        g^*_j = \sum_i \big( \lambda + (1 - \lambda) M_j^{(i)} \big)\, g_j^{(i)}

    With probability P, M is 1 for the positive entries and 0 for the others; otherwise it is 1 for the negative entries
    only. Where all signs agree the result is the sum.

    Args:
        key: an integer seed or a key of ``jax.random.key``, the first key of the state; may be traced. Two optimizers
            with the same key, such as the default, draw the same signs.
        leak: λ in [0, 1], the share of the other sign that is kept; 1 gives the sum. May be traced.

    Returns:
        A combiner for stacked gradients, with a :class:`GradDropState`, whose key advances.

    Raises:
        ValueError: ``leak`` is not in [0, 1], or ``key`` neither an integer nor a key; in ``update``, the gradients do
            not fit the parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the sum. N = 1 gives back the one gradient. A NaN or an infinity in any row reaches
        the result.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.grad_drop()
        >>> rows = jnp.array([[1.0, 3.0], [2.0, -1.0]])
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient[0], float(gradient[1]) in (3.0, -1.0))  # the second is 3 in three of four draws
        3.0 True

    References:
        Chen et al., `Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout
        <https://arxiv.org/abs/2010.06808>`_, NeurIPS 2020, algorithm 1, which takes the gradients of one layer's
        activations; here they are those of the parameters.
    """
    if isinstance(leak, int | float) and not 0 <= leak <= 1:
        raise ValueError(f"grad_drop: leak={leak}; it must be a number from 0 to 1")

    def init(params: Any) -> GradDropState:
        return GradDropState(_combiner.random_key(key), jnp.ones([], _jacobian.widest(params)))

    def rule(jacobian: Jacobian, state: GradDropState, losses: Any) -> tuple[optax.Updates, GradDropState]:
        next_key, draw_key = jax.random.split(state.key)
        leaves, structure = jax.tree.flatten(jacobian)
        keys = jax.random.split(draw_key, len(leaves))
        kept = [_of_leaf(leaf, leaf_key, leak) for leaf, leaf_key in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, kept), GradDropState(next_key, _components.agreement(jacobian))

    return _combiner.combiner("grad_drop", init, rule, ("stacked",))


def _of_leaf(stacked: jax.Array, key: jax.Array, leak: float | jax.Array) -> jax.Array:
    rows = _components.rows_of(stacked)
    positive = _fast.over_rows(jnp.add, [jnp.maximum(row, 0) for row in rows])
    negative = _fast.over_rows(jnp.add, [jnp.minimum(row, 0) for row in rows])
    # Relative to the larger of the two, so that their sum is in range.
    scale = jnp.maximum(positive, -negative)
    scale = jnp.where(scale > 0, scale, 1)
    share = (positive / scale) / jnp.maximum(positive / scale - negative / scale, 1)
    is_positive = _fast.is_drawn(key, share)
    leak = jnp.asarray(leak, share.dtype)
    kept = jnp.where(is_positive, positive + leak * negative, negative + leak * positive)
    # A NaN or an infinity is not dropped: it must be seen.
    return jnp.where(jnp.isfinite(positive) & jnp.isfinite(negative), kept, positive + negative).astype(stacked.dtype)
