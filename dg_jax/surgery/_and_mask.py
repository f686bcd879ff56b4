"""AND-mask: averages the gradients where enough of them have the same sign."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _components, _fast, _jacobian
from dg_jax.surgery._components import AgreementState
from dg_jax.surgery._jacobian import Jacobian, SumMinMax


def and_mask(threshold: float | jax.Array = 1.0, rescale: bool = True) -> optax.GradientTransformationExtraArgs:
    r"""Averages the gradients in the components where enough signs agree, and gives zero elsewhere.

    .. math:: m_j = \Big[\, \Big| \frac1N \sum_i \mathrm{sgn}(g_j^{(i)}) \Big| \ge \tau \,\Big], \qquad
        g^*_j = \frac{m_j}{10^{-10} + \bar m} \; \frac1N \sum_i g_j^{(i)}

    :math:`\bar m` is the mean over the leaf of j. The division makes up for the components that are cut. With threshold
    1 and without rescaling the result is that of Agr-Sum, divided by N.

    Args:
        threshold: τ in [0, 1]; with 1 all signs must agree. A zero adds no vote. May be traced.
        rescale: whether to divide by the share of components that are kept in each leaf.

    Returns:
        A combiner for stacked gradients (with threshold 1 also for accumulated ones), with an :class:`AgreementState`.

    Raises:
        ValueError: ``threshold`` is not in [0, 1]; in ``update``, the gradients do not fit the parameters or each
            other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean. With ``rescale`` it is longer, the fewer components of a leaf are kept; so
        it depends on how the parameters are cut into leaves. N = 1 gives back the one gradient without ``rescale``;
        with it, a zero counts as cut. A NaN or an infinity in any row reaches the result.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.and_mask()
        >>> rows = jnp.array([[1.0, 2.0], [3.0, -2.0]])
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient)  # the mean of the first component, doubled, as half of the components are left
        [4. 0.]

    References:
        Parascandolo et al., `Learning explanations that are hard to vary <https://arxiv.org/abs/2009.00329>`_, ICLR
        2021; the rescaling is that of their code and of DomainBed's ``ANDMask``.
    """
    if isinstance(threshold, int | float) and not 0 <= threshold <= 1:
        raise ValueError(f"and_mask: threshold={threshold}; it must be a number from 0 to 1")

    def masked(total: jax.Array, n: int | jax.Array, mask: jax.Array, is_broken: jax.Array) -> jax.Array:
        mean = total / jnp.asarray(n, total.dtype)
        kept = jnp.where(mask | is_broken, mean, 0)
        if not rescale:
            return kept
        share = _fast.count(mask).astype(mean.dtype) / max(mask.size, 1)
        rescaled: jax.Array = kept / (1e-10 + share)
        return rescaled

    def of_leaf(rows: list[jax.Array]) -> jax.Array:
        votes = jnp.abs(_fast.over_rows(jnp.add, [jnp.sign(row) for row in rows]))
        # Votes are whole numbers, so up to 1e-3 below the threshold is rounding.
        mask = votes >= jnp.asarray(threshold, votes.dtype) * len(rows) - 1e-3
        return masked(_fast.over_rows(jnp.add, rows), len(rows), mask, _components.is_broken(rows))

    def of_fact(fact: SumMinMax) -> jax.Array:
        mask = (fact.smallest > 0) | (fact.largest < 0)
        is_broken = ~(jnp.isfinite(fact.smallest) & jnp.isfinite(fact.largest))
        return masked(fact.total, fact.num_rows, mask, is_broken).astype(fact.smallest.dtype)

    def rule(jacobian: Jacobian, state: AgreementState, losses: Any) -> tuple[optax.Updates, AgreementState]:
        """With threshold 1 the largest and the smallest entry are enough."""
        facts = _jacobian.by_component(jacobian)
        kept = jax.tree.map(of_fact, facts, is_leaf=_jacobian.is_accumulated)
        return kept, AgreementState(_components.agreement(jacobian))

    if isinstance(threshold, int | float) and threshold == 1:
        return _combiner.combiner("and_mask", _components.init, rule, ("stacked", "accumulated"))
    return _components.combiner("and_mask", of_leaf)
