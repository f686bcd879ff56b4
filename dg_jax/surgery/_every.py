"""Cheaper steps: the weights of a rule are kept for several steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _jacobian, _mesh
from dg_jax.surgery._jacobian import Jacobian, OnDemand, TwoPass

# With this pull-back the update of a rule is its weights.
_WEIGHTS_THEMSELVES = jax.tree_util.Partial(lambda weights: (weights,))


class EveryState(NamedTuple):
    """The weights that are kept, and the rule's own state.

    Attributes:
        weights: of the N gradients, ``[N]``; 1/N before the first update.
        steps_left: for how many more updates they are kept, int32 scalar.
        rule: state of the rule after it was last asked.
    """

    weights: jax.Array
    steps_left: jax.Array
    rule: Any


def every(k: int, rule: optax.GradientTransformation, num_rows: int) -> optax.GradientTransformationExtraArgs:
    r"""Asks a rule for its weights at every k-th update, and keeps them in between.

    .. math:: g^*_t = \sum_i w_i\, g^{(i)}_t, \qquad w \text{ of the last } t' \le t \text{ that is a multiple of } k

    With Jacobians of ``form="on_demand"`` the N gradients are computed at these updates only. All others take one
    backward pass of the weighted losses, as expensive as that of the mean.

    Args:
        k: an integer of at least 1; 1 gives the rule itself.
        rule: a combiner that takes two-pass Jacobians: :func:`pcgrad`, :func:`grad_vac` and all that need only the
            Gramian. Under ``optax.inject_hyperparams`` ``k``, ``rule`` and ``num_rows`` belong in ``static_args``.
        num_rows: N.

    Returns:
        A combiner for on-demand and two-pass Jacobians, with an :class:`EveryState`. Two-pass ones save only the work
        of the rule itself.

    Raises:
        ValueError: ``k`` or ``num_rows`` is not an integer of at least 1; in ``update``, the Jacobian has another form
            or N, or the rule does not take it.

    Note:
        The scale is that of the rule. A NaN or an infinity in any row reaches the result as in the rule. If it makes
        the weights NaN, they stay NaN until the rule is asked again. Under ``vmap`` nothing is saved, because both
        branches are computed.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> x = jnp.array([[1.0, 0.0], [1.0, 2.0]])
        >>> optimizer = optax.chain(surgery.every(5, surgery.cagrad(), num_rows=2), optax.sgd(0.05))
        >>> @jax.jit
        ... def step(params, state):
        ...     losses, jacobian = surgery.value_and_grads(loss, "on_demand")(params, x)
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     return optax.apply_updates(params, updates), state
        >>> params = jnp.array([4.0, 4.0])
        >>> state = optimizer.init(params)
        >>> for _ in range(100):
        ...     params, state = step(params, state)
        >>> print(bool(abs(params[0] - 1) < 0.1), state[0].weights.shape)
        True (2,)

    References:
        Navon et al., `Multi-Task Learning as a Bargaining Game <https://arxiv.org/abs/2202.01017>`_, ICML 2022, section
        5.4, where the weights of Nash-MTL are kept in this way.
    """
    _combiner.check_integers("every", 1, k=k, num_rows=num_rows)

    def init(params: Any) -> EveryState:
        dtype = _jacobian.widest(params)
        return EveryState(jnp.full(num_rows, 1 / num_rows, dtype), jnp.zeros([], jnp.int32), rule.init(params))

    def update(
        jacobian: Jacobian, state: EveryState, params: optax.Params | None = None, **extra: Any
    ) -> tuple[optax.Updates, EveryState]:
        form = _jacobian.form_of(jacobian)
        if form not in ("on_demand", "two_pass"):
            raise ValueError(f"every does not take form={form!r}, only 'on_demand' or 'two_pass'")

        def ask() -> tuple[jax.Array, Any]:
            gramian = jacobian.gramian() if isinstance(jacobian, OnDemand) else jacobian.gramian
            if gramian.shape != (num_rows, num_rows):
                raise ValueError(f"every: num_rows={num_rows}, but the gradients have {len(gramian)} rows")
            weights, new = rule.update(TwoPass(gramian, _WEIGHTS_THEMSELVES), state.rule, None, **extra)
            return weights.astype(state.weights.dtype), new

        def keep() -> tuple[jax.Array, Any]:
            return state.weights, state.rule

        weights, of_rule = jax.lax.cond(state.steps_left == 0, ask, keep)
        steps_left = jnp.where(state.steps_left == 0, k - 1, state.steps_left - 1)
        (gradient,) = jacobian.pull(_mesh.replicated(weights))
        return gradient, EveryState(weights, steps_left, of_rule)

    return optax.GradientTransformationExtraArgs(init, update)
