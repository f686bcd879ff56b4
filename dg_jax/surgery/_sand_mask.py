"""SAND-mask: a smooth AND-mask, which trusts signs less where the gradients are far apart."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _components, _fast, _gramian


def sand_mask(
    threshold: float | jax.Array = 0.5, steepness: float | jax.Array = 10.0
) -> optax.GradientTransformationExtraArgs:
    r"""Averages the gradients, with a weight for each component that grows with the agreement of their signs.

    .. math:: m_j = \max\!\Big( 0, \tanh\!\Big( \frac{k}{v_j} \Big( \Big| \frac1N \sum_i \mathrm{sgn}(g_j^{(i)}) \Big|
        - \tau \Big) \Big) \Big), \qquad g^*_j = \frac{m_j}{10^{-10} + \bar m} \; \frac1N \sum_i g_j^{(i)}

    v is the variance of the N entries (over N - 1), and :math:`\bar m` is the mean over the leaf of j.

    Args:
        threshold: τ in [0, 1). DomainBed's default, 1, would make every mask zero. May be traced.
        steepness: k, above 0, in the square of the gradient's unit. May be traced.

    Returns:
        A combiner for stacked gradients, with an :class:`AgreementState`.

    Raises:
        ValueError: ``threshold`` is not in [0, 1), or ``steepness`` not above 0; in ``update``, the gradients do not
            fit the parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean; it is longer, the less of a leaf is kept. Usual gradients have such small
        variances that the mask is 0 or 1. Where the variance is 0, as for N = 1, the mask is 1 where the gradient is
        not zero. A NaN or an infinity in any row reaches the result.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.sand_mask()
        >>> rows = jnp.array([[1.0, 2.0], [1.1, -2.0]])
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient.round(2))
        [2.1 0. ]

    References:
        Shahtalebi et al., `SAND-mask: An Enhanced Gradient Masking Strategy for the Discovery of Invariances in Domain
        Generalization <https://arxiv.org/abs/2106.02266>`_, 2021; their γ is 1.
    """
    if isinstance(threshold, int | float) and not 0 <= threshold < 1:
        raise ValueError(f"sand_mask: threshold={threshold}; it must be a number of at least 0 and below 1")
    _gramian.check_above_zero("sand_mask", steepness=steepness)

    def of_leaf(rows: list[jax.Array]) -> jax.Array:
        n, dtype = len(rows), rows[0].dtype
        mean = _fast.over_rows(jnp.add, rows) / n
        agreement = jnp.abs(_fast.over_rows(jnp.add, [jnp.sign(row) for row in rows])) / n
        variance = _fast.over_rows(jnp.add, [(row - mean) ** 2 for row in rows]) / max(n - 1, 1)
        k, tau = (jnp.asarray(setting, dtype) for setting in (steepness, threshold))
        slope = jnp.minimum(k / jnp.where(variance > 0, variance, 1), jnp.finfo(dtype).max)
        slope = jnp.where(variance > 0, slope, jnp.finfo(dtype).max)
        mask = jnp.maximum(jnp.tanh(slope * (agreement - tau)), 0)
        share = jnp.sum(jnp.where(jnp.isfinite(mask), mask, 0)) / max(mask.size, 1)
        result: jax.Array = jnp.where(_components.is_broken(rows), mean, mask * mean / (1e-10 + share))
        return result

    return _components.combiner("sand_mask", of_leaf)
