"""Agr-Sum: conflicting components are set to zero (paper, eq. 3)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import agreement


class AgrSumState(NamedTuple):
    """What the last update saw.

    Attributes:
        agreement: fraction of components with Φ = 1, float32 scalar in [0, 1]; 1
            before the first update.
    """

    agreement: jax.Array


def agr_sum(zeros_agree: bool = True) -> optax.GradientTransformationExtraArgs:
    """Sums the gradients where all their signs agree and gives zero elsewhere.

    Args:
        zeros_agree: whether a component that is zero in all N gradients counts as
            agreeing. The result is zero either way; the logged rate differs.

    Returns:
        A combiner: ``update`` takes leaves ``[N, *shape]``, or the N gradients as
        :func:`~dg_jax.surgery.accumulate` returns them, and returns ``[*shape]`` in
        the leaves' dtype (sums are taken in float32). Its state is an
        :class:`AgrSumState`. N = 1 gives back the one gradient. A NaN or an infinity in
        any row reaches the result. Subnormal numbers count as zeros where the
        hardware flushes them. Leaves that disagree in N, and an empty tree, are a
        ``ValueError`` that names the leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.agr_sum()
        >>> stacked = jnp.array([[1.0, 2.0], [3.0, -2.0]])
        >>> gradient, state = combiner.update(stacked, combiner.init(jnp.zeros(2)))
        >>> print(gradient, state.agreement)
        [4. 0.] 0.5

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021,
        eqs. 2 and 3.
    """

    def init(params):
        del params
        return AgrSumState(jnp.ones([], jnp.float32))

    def update(gradients, state, params=None, **extra):
        del state, params, extra
        accumulated = agreement.accumulated(gradients)
        conflicts = agreement.conflicts(accumulated, zeros_agree=zeros_agree)
        consensus = jax.tree.map(
            lambda leaf, total, conflict: jnp.where(conflict, 0, total).astype(leaf.dtype),
            accumulated.smallest,
            accumulated.total,
            conflicts,
        )
        agreeing, size = agreement.count_agreeing(conflicts)
        return consensus, AgrSumState(agreeing / max(size, 1))

    return optax.GradientTransformationExtraArgs(init, update)
