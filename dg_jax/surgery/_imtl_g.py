"""IMTL-G: the result has the same projection on every gradient."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian


def imtl_g() -> optax.GradientTransformationExtraArgs:
    r"""Weights the gradients so that the result has the same projection on each of them.

    .. math:: g^* = \sum_i w_i g^{(i)}, \qquad \Big\langle g^*, \tfrac{g^{(i)}}{\|g^{(i)}\|} \Big\rangle
        \text{ equal for all } i, \qquad \sum_i w_i = 1

    With C the matrix of cosines, :math:`w_i \propto (C^{+} 1)_i / \|g^{(i)}\|`.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the mean: the weights sum to 1. They may be negative, so a step can make a loss
        worse. N = 1 gives back the one gradient. Projections are equal where the gradients are linearly independent;
        otherwise the pseudoinverse keeps the eigenvalues of C above 10 N eps times the largest. A zero gradient has
        weight 0. If the sum of the weights is below 1e-6 of that of their absolute values, they cannot be scaled to sum
        to 1, and the result is zero. A NaN or an infinity in any row makes the whole result NaN. Stacked gradients may
        have any norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their squares are in
        range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.imtl_g(), optax.sgd(0.05))
        >>> @jax.jit
        ... def step(params, state):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[1.0, 0.0], [1.0, 2.0]]))
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     return optax.apply_updates(params, updates), state
        >>> params = jnp.array([4.0, 4.0])
        >>> state = optimizer.init(params)
        >>> for _ in range(100):
        ...     params, state = step(params, state)
        >>> print(bool(abs(params[0] - 1) < 0.1), bool(0 < params[1] < 2.1))  # where no step makes both losses better
        True True

    References:
        Liu et al., `Towards Impartial Multi-task Learning <https://openreview.net/forum?id=IMPnRXEWpvr>`_, ICLR 2021.
    """
    return _gramian.combiner("imtl_g", _weigh)


def _weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
    has_length = (norms > 0).astype(norms.dtype)
    smallest = jnp.min(jnp.where(norms > 0, norms, jnp.inf), initial=1.0)
    weights = jnp.linalg.pinv(cosines, hermitian=True) @ has_length * _gramian.safe_reciprocal(norms) * smallest
    total = jnp.sum(weights)
    can_be_one = jnp.abs(total) > 1e-6 * jnp.sum(jnp.abs(weights))
    return jnp.where(can_be_one, weights / jnp.where(can_be_one, total, 1), 0)
