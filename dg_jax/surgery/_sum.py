"""The sum of the gradients, no surgery."""

from typing import Any

import optax

from dg_jax.surgery import _combiner, _jacobian
from dg_jax.surgery._jacobian import Jacobian


def sum() -> optax.GradientTransformationExtraArgs:
    r"""Adds the gradients.

    .. math:: g^* = \sum_i g^{(i)}

    This is the gradient of the sum of the N losses. Use it for the heads of single losses, together with surgery on
    parameters that the losses share: a parameter that only one loss uses gets the gradient of that loss.

    Returns:
        A combiner for Jacobians of all four forms. It has no state.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the sum. N = 1 gives back the one gradient. A NaN or an infinity in any row reaches
        the result.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def losses(params):  # two tasks with a shared trunk and a head each
        ...     return jnp.stack([params["trunk"] * params["head"][0], -params["trunk"] * params["head"][1]])
        >>> combiners = {"shared": surgery.agr_sum(), "own": surgery.sum()}
        >>> optimizer = optax.chain(optax.partition(combiners, {"trunk": "shared", "head": "own"}), optax.sgd(1.0))
        >>> params = {"trunk": jnp.array(2.0), "head": jnp.array([1.0, 3.0])}
        >>> _, jacobian = surgery.value_and_jacobian(losses)(params)
        >>> updates, state = optimizer.update(jacobian, optimizer.init(params), params)
        >>> print(bool(updates["trunk"] == 0), updates["head"])  # the tasks disagree on the trunk
        True [-2.  2.]

    References:
        Caruana, `Multitask Learning <https://doi.org/10.1023/A:1007379606734>`_, Machine Learning 28, 1997.
    """

    def rule(jacobian: Jacobian, state: Any, losses: Any) -> tuple[optax.Updates, Any]:
        return _jacobian.total(jacobian, 1), state

    def init(params: Any) -> optax.EmptyState:
        return optax.EmptyState()

    return _combiner.combiner("sum", init, rule, ("stacked", "accumulated", "two_pass"))
