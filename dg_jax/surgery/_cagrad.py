"""CAGrad: takes the direction near the mean gradient that helps the slowest loss most."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def cagrad(
    c: float | jax.Array = 0.5, preference: jax.Array | Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Takes the direction, in a ball around the mean gradient, in which the slowest loss falls fastest.

    .. math:: g^* = \arg\max_d \min_i \langle d, g^{(i)} \rangle \;\text{ with }\; \|d - g_0\| \le c \|g_0\|, \qquad
        g_0 = \sum_i p_i g^{(i)}

    It is :math:`g_0 + c \|g_0\| g_w / \|g_w\|` for a convex combination :math:`g_w` of the gradients.

    Args:
        c: radius of the ball relative to the length of the mean gradient, at least 0; 0 gives the mean. Below 1 the
            steps still reach a minimum of the mean loss. May be traced.
        preference: p, N numbers of at least 0; 1/N each by default. Under ``optax.inject_hyperparams`` give an array.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``c`` is below 0, or ``preference`` is not a list of numbers of at least 0; in ``update``,
            ``preference`` has another N, or the gradients do not fit the parameters or each other, or are not
            floating-point; the leaf is named.

    Note:
        The result has the scale of the mean, and is up to 1 + c times as long. It is not rescaled: some released codes
        divide by 1 + c², some by 1 + c. N = 1 gives (1 + c) times the one gradient. Where no direction in the ball
        helps all losses, the result is the least harmful one. Where gradients cancel, so that no step helps all of
        them, it is the shortest that harms none, if the ball has one. A NaN or an infinity in any row makes the whole
        result NaN. Stacked gradients may have any norm. Those of a two-pass Jacobian must have norms from 1e-15 to
        1e15, so that their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.cagrad(c=0.5), optax.sgd(0.05))
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
        Liu et al., `Conflict-Averse Gradient Descent for Multi-task Learning <https://arxiv.org/abs/2110.14048>`_,
        NeurIPS 2021.
    """
    if isinstance(c, int | float) and not (c >= 0 and math.isfinite(c)):
        raise ValueError(f"cagrad: c={c}; it must be a number of at least 0")
    _gramian.check_preference("cagrad", preference)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        p = _gramian.preference_of("cagrad", preference, cosines)
        toward = cosines @ (p * norms)  # inner products of the unit gradients with g0
        length = jnp.sqrt(jnp.maximum((p * norms) @ toward, 0))
        radius = jnp.asarray(c, norms.dtype) * length
        step = _solvers.farthest_gain(_gramian.unit_diagonal(cosines), norms, toward, radius)
        return p + step * _gramian.safe_reciprocal(norms)

    return _gramian.combiner("cagrad", weigh)
