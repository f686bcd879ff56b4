"""Group DRO: gradients of domains with a high loss get more weight (paper, section 3.3)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import _combiner, _jacobian
from dg_jax.surgery._jacobian import Jacobian


class GroupDROState(NamedTuple):
    """The weights of the gradients.

    Attributes:
        weights: q ``[N]``, sums to 1. Without ``num_rows`` it is the scalar 1 before the first update.
    """

    weights: jax.Array


def group_dro(step_size: float = 0.01, num_rows: int | None = None) -> optax.GradientTransformationExtraArgs:
    r"""Weights the gradients by q, which grows where the loss is high.

    .. math:: q_i \leftarrow \frac{q_i \exp(\eta\, \ell_i)}{\sum_j q_j \exp(\eta\, \ell_j)}, \qquad
        g^* = \sum_i q_i g^{(i)}

    Args:
        step_size: η, above 0 (DomainBed's ``groupdro_eta``).
        num_rows: N, which ``init`` cannot know from the parameters. Without it the state changes its shape from ``[]``
            to ``[N]`` at the first update; under ``jax.jit`` that costs a second trace. ``jax.lax.scan`` needs it, and
            so does a checkpoint that is restored into a fresh state. Under ``optax.inject_hyperparams`` it belongs in
            ``static_args``.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GroupDROState`. ``update`` needs the extra
        argument ``losses``, ``[N]``.

    Raises:
        ValueError: ``step_size`` is not above 0, or ``num_rows`` is below 1; in ``update``, ``losses`` is missing or
            not ``[N]``, the state is for another N, or the gradients do not fit the parameters or each other, or are
            not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean: the weights sum to 1. N = 1 gives back the one gradient. A NaN or an
        infinity in any row reaches the result; a NaN or a positive infinity in any loss makes the whole result NaN. A
        weight that has fallen below the range of its dtype stays zero, as in DomainBed.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.group_dro(step_size=0.1, num_rows=2), optax.sgd(0.1))
        >>> params = jnp.zeros(1)
        >>> state = optimizer.init(params)
        >>> for _ in range(200):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[1.0], [-3.0]]))
        ...     updates, state = optimizer.update(jacobian, state, params, losses=losses)
        ...     params = optax.apply_updates(params, updates)
        >>> print(params.round(1), losses.round(1))  # the same loss on both, and not the least mean
        [-1.] [4. 4.]

    References:
        Sagawa et al., `Distributionally Robust Neural Networks for Group Shifts <https://arxiv.org/abs/1911.08731>`_,
        ICLR 2020, algorithm 1, with one batch of every domain at each step, as in DomainBed's ``GroupDRO``.
    """
    # Under optax.inject_hyperparams the settings are arrays, possibly traced, that have no value to check.
    if isinstance(step_size, int | float) and not step_size > 0:
        raise ValueError(f"group_dro: step_size={step_size}; it must be above 0")
    if num_rows is not None:
        _combiner.check_integers("group_dro", 1, num_rows=num_rows)

    def init(params: Any) -> GroupDROState:
        dtype = _jacobian.widest(params)
        return GroupDROState(jnp.ones([], dtype) if num_rows is None else jnp.full(num_rows, 1 / num_rows, dtype))

    def rule(jacobian: Jacobian, state: GroupDROState, losses: Any) -> tuple[optax.Updates, GroupDROState]:
        _check(_jacobian.num_rows(jacobian), state, losses)
        dtype = np.promote_types(_jacobian.widest(jacobian), state.weights.dtype)
        q, eta, losses = (jnp.asarray(array, dtype) for array in (state.weights, step_size, losses))
        # softmax subtracts the largest exponent first, so that large losses do not overflow.
        weights = jax.nn.softmax(jnp.log(q) + eta * losses)
        return _jacobian.weighted_sum(jacobian, weights), GroupDROState(weights)

    return _combiner.combiner("group_dro", init, rule, ("stacked", "two_pass"))


def _check(n: Any, state: GroupDROState, losses: Any) -> None:
    if losses is None:
        raise ValueError(
            "group_dro: update needs the losses; pass losses=, an array [N] (flax's TrainState.apply_gradients "
            "drops it: call state.tx.update(jacobian, state.opt_state, state.params, losses=losses) instead)"
        )
    if jnp.shape(losses) != (n,):
        raise ValueError(f"group_dro: losses has shape {jnp.shape(losses)}, but the gradients have {n} rows")
    if jnp.shape(state.weights) not in [(), (n,)]:
        raise ValueError(
            f"group_dro: the state has weights for {len(state.weights)} rows, but the gradients have {n} rows"
        )
