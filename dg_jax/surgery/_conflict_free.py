"""ConFIG: the direction that has the same cosine with all gradients."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian


def conflict_free() -> optax.GradientTransformationExtraArgs:
    r"""Takes the direction with the same cosine to all gradients; its length is the sum of their projections on it.

    .. math:: v = [u^{(1)}, \dots, u^{(N)}]^{+\top} 1, \quad u^{(i)} = \frac{g^{(i)}}{\|g^{(i)}\|}, \qquad
        g^* = \Big( \sum_i \Big\langle g^{(i)}, \tfrac{v}{\|v\|} \Big\rangle \Big) \frac{v}{\|v\|}

    With C the matrix of cosines, v is the sum of the unit gradients with the weights :math:`C^{+} 1`.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the sum. N = 1 gives back the one gradient. Where the gradients are linearly
        independent the result conflicts with none; otherwise the pseudoinverse keeps the eigenvalues of C above 10 N
        eps times the largest. A zero gradient is ignored. For exactly opposite gradients there is no such direction:
        the result is zero. A NaN or an infinity in any row makes the whole result NaN. Stacked gradients may have any
        norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.conflict_free(), optax.sgd(0.05))
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
        Liu, Chu, Thuerey, `ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks
        <https://arxiv.org/abs/2408.11104>`_, ICLR 2025.
    """
    return _gramian.combiner("conflict_free", _weigh)


def _weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
    v = jnp.linalg.pinv(cosines, hermitian=True) @ (norms > 0).astype(norms.dtype)
    inner = cosines @ v
    squared = v @ inner
    has_direction = squared > 1e-6 * jnp.sum(jnp.abs(v))
    length = norms @ inner / jnp.where(has_direction, squared, 1)
    return jnp.where(has_direction, length * v * _gramian.safe_reciprocal(norms), 0)
