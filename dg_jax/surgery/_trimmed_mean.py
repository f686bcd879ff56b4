"""Trimmed mean and median: component by component, without the largest and the smallest entries."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _components, _fast


def trimmed_mean(trim: int = 1) -> optax.GradientTransformationExtraArgs:
    r"""Drops the largest and the smallest entries of each component, and averages the others.

    .. math:: g^*_j = \frac{1}{N - 2b} \sum_{k=b+1}^{N-b} g_j^{[k]}, \qquad
        g_j^{[1]} \le \dots \le g_j^{[N]} \text{ the sorted } g_j^{(1)}, \dots, g_j^{(N)}

    Args:
        trim: b, how many are dropped on each side, an integer of at least 0. Under ``optax.inject_hyperparams`` it
            belongs in ``static_args``.

    Returns:
        A combiner for stacked gradients, with an :class:`AgreementState`.

    Raises:
        ValueError: ``trim`` is not such an integer; in ``update``, N is below 2 b + 1, or the gradients do not fit the
            parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean. N = 1 gives back the one gradient with ``trim=0`` only. A NaN in any row
        of a component reaches the result there; an infinity is dropped if it is among the b largest or smallest.
        Subnormal numbers count as zeros where the hardware flushes them.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> rows = jnp.array([[1.0, -9.0], [2.0, 1.0], [3.0, 2.0], [99.0, 3.0]])  # four losses, two of them odd
        >>> combiner = surgery.trimmed_mean(trim=1)
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient)
        [2.5 1.5]

    References:
        Yin et al., `Byzantine-Robust Distributed Learning <https://arxiv.org/abs/1803.01498>`_, ICML 2018,
        definition 2.
    """
    _combiner.check_integers("trimmed_mean", 0, trim=trim)

    def of_leaf(rows: list[jax.Array]) -> jax.Array:
        if len(rows) < 2 * trim + 1:
            raise ValueError(
                f"trimmed_mean: trim={trim} drops {2 * trim} rows, but the gradients have {len(rows)}; "
                f"give at most {(len(rows) - 1) // 2}"
            )
        return _mean_of_middle(rows, trim)

    return _components.combiner("trimmed_mean", of_leaf)


def median() -> optax.GradientTransformationExtraArgs:
    r"""Takes the median of each component; for even N the mean of the two in the middle.

    .. math:: g^*_j = \operatorname{median}(g_j^{(1)}, \dots, g_j^{(N)})

    Returns:
        A combiner for stacked gradients, with an :class:`AgreementState`.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has the scale of the mean. N = 1 gives back the one gradient. A NaN in any row of a component reaches
        the result there; an infinity does if it is in the middle. Subnormal numbers count as zeros where the hardware
        flushes them.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.median()
        >>> gradient, state = combiner.update(jnp.array([[1.0], [2.0], [99.0]]), combiner.init(jnp.zeros(1)))
        >>> print(gradient)
        [2.]

    References:
        Yin et al., `Byzantine-Robust Distributed Learning <https://arxiv.org/abs/1803.01498>`_, ICML 2018,
        definition 1.
    """
    return _components.combiner("median", lambda rows: _mean_of_middle(rows, (len(rows) - 1) // 2))


def _mean_of_middle(rows: list[jax.Array], trim: int) -> jax.Array:
    middle = _fast.sorted_rows(rows)[trim : len(rows) - trim]
    mean = _fast.over_rows(jnp.add, middle) / len(middle)
    return jnp.where(jnp.isnan(_fast.over_rows(jnp.maximum, rows)), jnp.nan, mean)  # sorting may drop a NaN
