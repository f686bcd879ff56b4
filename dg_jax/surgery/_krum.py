"""Krum: the gradient that is nearest to the others."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _gramian


def krum(byzantine: int, selected: int = 1) -> optax.GradientTransformationExtraArgs:
    r"""Takes the gradient with the smallest squared distances to its nearest neighbours, or averages several such.

    .. math:: s_i = \sum_{j \in \mathcal{N}_i} \|g^{(i)} - g^{(j)}\|^2, \qquad
        \mathcal{N}_i \text{ the } N - f - 2 \text{ nearest to } i

    Args:
        byzantine: f, how many of the gradients may be anything, an integer of at least 0. The theorem is for
            N > 2 f + 2. Under ``optax.inject_hyperparams`` ``byzantine`` and ``selected`` belong in ``static_args``.
        selected: how many gradients, those with the smallest s, are averaged; 1 is Krum, more is Multi-Krum.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``byzantine`` or ``selected`` is not such an integer; in ``update``, N is below f + 3 or
            ``selected``, or the gradients do not fit the parameters or each other, or are not floating-point; the leaf
            is named.

    Note:
        The result has the scale of the mean. Of equal s the first row is taken. The distances are computed from the
        Gramian, so in float32 they are exact to about 1e-3 of the longest gradient: rows that are closer than that are
        equally near. A NaN or an infinity in any row makes the whole result NaN. Stacked gradients may have any norm.
        Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their squares are in range.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.krum(byzantine=1)
        >>> rows = jnp.array([[1.0, 1.0], [1.1, 1.0], [1.0, 1.2], [-50.0, 7.0]])
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient)
        [1. 1.]

    References:
        Blanchard et al., `Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent
        <https://arxiv.org/abs/1703.02757>`_, NeurIPS 2017.
    """
    _combiner.check_integers("krum", 0, byzantine=byzantine)
    _combiner.check_integers("krum", 1, selected=selected)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        n = len(norms)
        if n < max(byzantine + 3, selected):
            raise ValueError(
                f"krum: byzantine={byzantine}, selected={selected} need at least {max(byzantine + 3, selected)} "
                f"gradients; there are {n}"
            )
        differences = norms[:, None] - norms[None, :]
        apart = jnp.maximum(1 - cosines, 0)  # |a - b|² = (|a| - |b|)² + 2 |a| |b| (1 - cos)
        squares = differences**2 + 2 * norms[:, None] * norms[None, :] * apart
        nearest = jnp.sort(jnp.where(jnp.eye(n, dtype=bool), jnp.inf, squares), axis=1)[:, : n - byzantine - 2]
        chosen = jnp.argsort(jnp.sum(nearest, axis=1), stable=True)[:selected]
        return jnp.zeros_like(norms).at[chosen].set(1 / selected)

    return _gramian.combiner("krum", weigh)
