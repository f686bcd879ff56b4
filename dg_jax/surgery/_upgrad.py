"""UPGrad: each gradient is projected so that it conflicts with none, then they are averaged."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def upgrad(preference: jax.Array | Sequence[float] | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Projects each gradient onto the directions that make no loss worse, then averages.

    .. math:: g^* = \sum_i p_i\, \pi(g^{(i)}), \qquad
        \pi(g) = \arg\min_d \|d - g\| \;\text{ with }\; \langle d, g^{(j)} \rangle \ge 0 \text{ for all } j

    The result conflicts with no gradient. For N = 2 it is the result of PCGrad divided by 2.

    Args:
        preference: p, N numbers of at least 0; 1/N each by default. Under ``optax.inject_hyperparams`` give an array.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``preference`` is not a list of numbers of at least 0; in ``update``, ``preference`` has another N,
            or the gradients do not fit the parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean with the default preference. N = 1 gives back p times the one gradient.
        Zero gradients play no part in the projection. There is no regularisation: gradients k times as long give a
        result k times as long, and what is left of a conflict is rounding, about 1e-6 of the gradients. A NaN or an
        infinity in any row makes the whole result NaN. Stacked gradients may have any norm. Those of a two-pass
        Jacobian must have norms from 1e-15 to 1e15, so that their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.upgrad(), optax.sgd(0.05))
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
        Quinton and Rey, `Jacobian Descent for Multi-Objective Optimization <https://arxiv.org/abs/2406.16232>`_, 2024.
    """
    _gramian.check_preference("upgrad", preference)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        p = _gramian.preference_of("upgrad", preference, cosines)
        each = jnp.diag(p * norms)
        parts = jnp.sum(jax.vmap(_solvers.projected, in_axes=(None, 0))(cosines, each), axis=0)
        return jnp.where(norms > 0, parts * _gramian.safe_reciprocal(norms), p)

    return _gramian.combiner("upgrad", weigh)
