"""FairGrad: weights under which every loss gains its fair part."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def fair_grad(alpha: float | jax.Array = 1.0) -> optax.GradientTransformationExtraArgs:
    r"""Weights the gradients so that every loss gains its part of an α-fair bargain.

    .. math:: g^* = \sum_i w_i g^{(i)}, \qquad G w = w^{-1/\alpha} \text{ (component by component)}, \quad w > 0

    with the Gramian G. α = 1 is :func:`nash_mtl`; α towards 0 gives the sum.

    Args:
        alpha: α, above 0; may be traced.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``alpha`` is not above 0; in ``update``, the gradients do not fit the parameters or each other, or
            are not floating-point; the leaf is named.

    Note:
        The result has a scale of its own: gradients k times as long give a result k^((1 - α) / (1 + α)) times as long,
        so for α = 1 it does not change. It is neither divided by the norm of G nor clipped; if you want that, add
        ``optax.clip_by_global_norm`` after it in the chain. For α = 1, N = 1 gives the gradient divided by its norm. A
        zero gradient has weight 0. Where gradients cancel, as two opposite ones do, there is no solution: a ridge of 4
        N eps on the cosines keeps the weights finite. A NaN or an infinity in any row makes the whole result NaN.
        Stacked gradients may have any norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that
        their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.fair_grad(alpha=0.5), optax.sgd(0.05))
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
        Ban and Ji, `Fair Resource Allocation in Multi-Task Learning <https://arxiv.org/abs/2402.15638>`_, ICML 2024.
    """
    _gramian.check_above_zero("fair_grad", alpha=alpha)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        power = 1 / jnp.asarray(alpha, norms.dtype)
        lengths = jnp.where(norms > 0, norms, 1)
        # With x_i = w_i |g_i| this is an equation on the cosines.
        x = _solvers.power_fixed_point(_gramian.unit_diagonal(cosines), lengths ** (power - 1), power)
        return x * _gramian.safe_reciprocal(norms)

    return _gramian.combiner("fair_grad", weigh, -2 * alpha / (1 + alpha))
