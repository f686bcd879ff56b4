"""Group DRO: the rows are weighted by how badly their domains do (paper, section 3.3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import stack


class GroupDROState(NamedTuple):
    """What the rows were weighted by.

    Attributes:
        weights: q, float32 ``[N]``, sums to 1. Before the first update of a
            combiner that was not told N it is the scalar 1.
    """

    weights: jax.Array


def group_dro(step_size: float = 0.01, num_rows: int | None = None) -> optax.GradientTransformationExtraArgs:
    """Weights the gradients by q, which grows where the loss is high.

    Each update multiplies q by exp(step_size · losses), normalises it to the sum 1, and
    returns the sum of the rows weighted by this new q.

    Args:
        step_size: how fast q moves (DomainBed's ``groupdro_eta``), above 0.
        num_rows: N. ``init`` cannot read it off the parameters: if it is not given, the
            state changes its shape from ``[]`` to ``[N]`` at the first update. Under
            ``jax.jit`` that costs a second trace; ``jax.lax.scan``, and a checkpoint
            that is restored into a fresh state, need ``num_rows``. For a jitted ``init``
            under ``optax.inject_hyperparams`` name it in ``static_args``.

    Returns:
        A combiner: ``update`` takes leaves ``[N, *shape]`` and returns ``[*shape]`` in
        the leaves' dtype (summed in float32). It needs the extra argument ``losses``,
        ``[N]``. Its state is a :class:`GroupDROState`. N = 1 gives back the one
        gradient. A NaN or an infinity in any row reaches the result, and a NaN or
        a positive infinity in any loss makes all of it NaN. A weight that has fallen
        below float32's range stays zero, as in DomainBed.

    Raises:
        ValueError: ``step_size`` is not above 0, or ``num_rows`` below 1; in ``update``,
            ``losses`` is missing or not ``[N]``, the state is that of another N, leaves
            disagree in N (the leaf is named), or the tree is empty.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.group_dro(step_size=1.0)
        >>> stacked, losses = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.log(jnp.array([1.0, 3.0]))
        >>> gradient, state = combiner.update(stacked, combiner.init(jnp.zeros(2)), losses=losses)
        >>> print(jnp.round(gradient, 2))
        [0.25 0.75]

    Reference:
        Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", ICLR
        2020, algorithm 1, with one batch of every domain at each step, as in DomainBed's
        ``GroupDRO``.
    """
    # Under optax.inject_hyperparams the settings are arrays, possibly traced, that have no value to check.
    if isinstance(step_size, int | float) and not step_size > 0:
        raise ValueError(f"group_dro: step_size={step_size}; it must be above 0")
    if isinstance(num_rows, int) and num_rows < 1:
        raise ValueError(f"group_dro: num_rows={num_rows}; it must be at least 1")

    def init(params):
        del params
        if num_rows is None:
            return GroupDROState(jnp.ones([], jnp.float32))
        return GroupDROState(jnp.full(num_rows, 1 / num_rows, jnp.float32))

    def update(stacked, state, params=None, *, losses=None, **extra):
        del params, extra
        n = stack.num_rows(stacked)
        if losses is None:
            raise ValueError("group_dro: update needs the losses of the rows; pass losses=, an array [N]")
        if jnp.shape(losses) != (n,):
            raise ValueError(f"group_dro: losses has shape {jnp.shape(losses)}, but the gradients have {n} rows")
        if jnp.shape(state.weights) not in [(), (n,)]:
            raise ValueError(
                f"group_dro: the state has weights for {len(state.weights)} rows, but the gradients have {n} rows"
            )
        # softmax subtracts the largest exponent first, so that large losses do not overflow.
        exponents = jnp.log(state.weights) + step_size * jnp.asarray(losses, jnp.float32)
        weights = jax.nn.softmax(exponents).astype(jnp.float32)
        return stack.weighted_sum(stacked, weights), GroupDROState(weights)

    return optax.GradientTransformationExtraArgs(init, update)
