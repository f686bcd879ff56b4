"""What the rules on the Gramian log, for any gradient that was made from several."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _gramian, _jacobian
from dg_jax.surgery._jacobian import Jacobian


class Diagnostics(NamedTuple):
    """Scalars, as in :class:`GramianState`. A zero gradient has cosine 0 with any other.

    Attributes:
        row_norm: mean of the norms of the N gradients.
        norm: norm of the gradient that was made from them.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines; 1 for N = 1.
        cosine_min: the smallest of them.
        conflicting: share of the pairs with a negative cosine.
        descent: the smallest cosine between one of them and that gradient; below 0 the step makes some loss worse.
    """

    row_norm: jax.Array
    norm: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array
    descent: jax.Array


def diagnostics(jacobian: Jacobian, gradient: optax.Updates) -> Diagnostics:
    r"""Measures norms and cosines of the gradients of N losses, and of the gradient that was made from them.

    .. math:: \text{descent} = \min_i \frac{\langle g^{(i)}, g^* \rangle}{\|g^{(i)}\| \, \|g^*\|}

    Rules on the Gramian have these numbers in their state at no cost. For other rules they cost a Gramian and a copy of
    the gradients.

    Args:
        jacobian: stacked gradients, a tree of ``[N, *shape]``.
        gradient: what a combiner made from them, or any other direction, a tree of ``[*shape]``.

    Returns:
        Scalars, float32, or float64 where a leaf is float64.

    Raises:
        ValueError: the gradients are not stacked, do not fit ``gradient`` or each other, or are not floating-point; the
            leaf is named.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> rows, combiner = jnp.array([[3.0, 0.0], [0.0, 4.0]]), surgery.agr_sum("abstain")
        >>> gradient, _ = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> found = surgery.diagnostics(rows, gradient)
        >>> print(found.norm, found.cosine_mean, bool(abs(found.descent - 0.6) < 1e-6))
        5.0 0.0 True
    """
    structure: Any = jax.tree.structure(jacobian)
    if structure != jax.tree.structure(gradient):
        raise ValueError("diagnostics: the gradient is not a tree like the stacked ones; give what was made from them")

    def rule(jacobian: Jacobian, state: Any, gradient: optax.Updates) -> tuple[optax.Updates, Diagnostics]:
        def joined(rows: jax.Array, row: jax.Array) -> jax.Array:
            return jnp.concatenate([rows, jnp.asarray(row, rows.dtype)[None]])

        cosines, norms = _jacobian.cosines_and_norms(jax.tree.map(joined, jacobian, gradient))
        with_gradient = jnp.where(norms[:-1] != 0, cosines[:-1, -1], jnp.inf)
        descent = jnp.where(jnp.any(norms[:-1] != 0), jnp.clip(jnp.min(with_gradient), -1, 1), 0)
        summary = _gramian.summary(cosines[:-1, :-1])
        return gradient, Diagnostics(jnp.mean(norms[:-1]), norms[-1], *summary, descent)

    found: Diagnostics
    _, found = _combiner.apply("diagnostics", rule, ("stacked",), jacobian, losses=gradient, params=gradient)
    return found
