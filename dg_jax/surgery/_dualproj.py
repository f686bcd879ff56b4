"""DualProj: the mean gradient is projected so that it conflicts with none (GEM)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def dualproj(preference: jax.Array | Sequence[float] | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Projects the mean of the gradients onto the directions that make no loss worse.

    .. math:: g^* = \arg\min_d \Big\| d - \sum_i p_i g^{(i)} \Big\|
        \;\text{ with }\; \langle d, g^{(j)} \rangle \ge 0 \text{ for all } j

    The result conflicts with no gradient. Where the mean conflicts with none, it is the mean.

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
        >>> optimizer = optax.chain(surgery.dualproj(), optax.sgd(0.05))
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
        Lopez-Paz and Ranzato, `Gradient Episodic Memory for Continual Learning <https://arxiv.org/abs/1706.08840>`_,
        NeurIPS 2017, eq. 11.
    """
    _gramian.check_preference("dualproj", preference)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        p = _gramian.preference_of("dualproj", preference, cosines)
        parts = _solvers.projected(cosines, p * norms)
        return jnp.where(norms > 0, parts * _gramian.safe_reciprocal(norms), p)

    return _gramian.combiner("dualproj", weigh)
