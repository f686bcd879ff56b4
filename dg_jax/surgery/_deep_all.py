"""Deep-All: the mean of the gradients, no surgery (paper, eq. 1)."""

from typing import Any

import optax

from dg_jax.surgery import _combiner, _jacobian
from dg_jax.surgery._jacobian import Jacobian


def deep_all() -> optax.GradientTransformationExtraArgs:
    r"""Averages the gradients.

    .. math:: g^* = \frac{1}{N} \sum_i g^{(i)} \qquad \text{(eq. 1)}

    This is the gradient of the mean of the N losses: the paper's baseline. A gradient that only one loss has, such as
    that of its own head, is divided by N; :func:`~dg_jax.surgery.sum` does not divide.

    Returns:
        A combiner for Jacobians of all four forms. It has no state.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the mean. N = 1 gives back the one gradient. A NaN or an infinity in any row reaches
        the result.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.deep_all(), optax.sgd(0.5))
        >>> params = jnp.zeros(2)
        >>> losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[1.0, 2.0], [3.0, -2.0]]))
        >>> updates, state = optimizer.update(jacobian, optimizer.init(params), params)
        >>> print(optax.apply_updates(params, updates))
        [2. 0.]

    References:
        Mansilla et al., `Domain Generalization via Gradient Surgery <https://arxiv.org/abs/2108.01621>`_, ICCV 2021.
    """

    def rule(jacobian: Jacobian, state: Any, losses: Any) -> tuple[optax.Updates, Any]:
        return _jacobian.total(jacobian, 1 / _jacobian.num_rows(jacobian)), state

    def init(params: Any) -> optax.EmptyState:
        return optax.EmptyState()

    return _combiner.combiner("deep_all", init, rule, ("stacked", "accumulated", "two_pass"))
