"""MGDA: the shortest convex combination of the gradients."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def mgda() -> optax.GradientTransformationExtraArgs:
    r"""Takes the shortest of all convex combinations of the gradients.

    .. math:: g^* = \sum_i w_i g^{(i)}, \qquad w = \arg\min_{w \ge 0,\, \sum_i w_i = 1} \Big\| \sum_i w_i g^{(i)} \Big\|

    Its inner product with every gradient is at least its own squared norm, so a small step makes no loss worse. Where
    it is zero, no direction makes all losses better.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the mean: the weights sum to 1. But it is at most as long as the shortest gradient,
        so steps get small where one loss is nearly solved. N = 1 gives back the one gradient. Where some gradient is
        zero, so is the result. A NaN or an infinity in any row makes the whole result NaN. Stacked gradients may have
        any norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their squares are in range.
        The weights are exact to about 1e-6 of the optimum in float32.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.mgda(), optax.sgd(0.05))
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
        Désidéri, `Multiple-gradient descent algorithm (MGDA) for multiobjective optimization
        <https://doi.org/10.1016/j.crma.2012.03.014>`_, Comptes Rendus Mathématique 350, 2012; Sener and Koltun,
        `Multi-Task Learning as Multi-Objective Optimization <https://arxiv.org/abs/1810.04650>`_, NeurIPS 2018.
    """
    return _gramian.combiner("mgda", _weigh)


def _weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
    """Returns the weights, found on unit gradients, where gradient i has the weight w_i |g_i|.

    The shortest combination with Σ w_i = 1 has the direction of the minimum of |Σ y_i u_i|² + (Σ q_i y_i - 1)², y ≥ 0,
    with q_i in proportion to 1 / |g_i|. Along each direction the minimum grows with the length of the combination.
    """
    is_zero = norms == 0
    smallest = jnp.min(jnp.where(is_zero, jnp.inf, norms))
    q = jnp.where(is_zero, 0, smallest / jnp.where(is_zero, 1, norms))
    h = _gramian.unit_diagonal(cosines) + q[:, None] * q[None, :]
    weights = _solvers.nonnegative(h, -q) * q
    weights = jnp.where(jnp.any(is_zero), is_zero.astype(norms.dtype), weights)
    return weights / jnp.sum(weights)
