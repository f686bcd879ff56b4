"""Fixed weights: what every rule for several gradients must beat."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import _gramian


def weighted(weights: jax.Array | Sequence[float]) -> optax.GradientTransformationExtraArgs:
    r"""Adds the gradients with fixed weights.

    .. math:: g^* = \sum_i w_i g^{(i)}

    The result is the gradient of the weighted losses. The state logs the same as that of the rules on the Gramian.

    Args:
        weights: w, N numbers. Under ``optax.inject_hyperparams`` give an array.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``weights`` is not a list of finite numbers; in ``update``, there are not N of them, or the
            gradients do not fit the parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The scale is that of the weights: 1 each gives the sum, 1/N each the mean. N = 1 gives back w times the one
        gradient. A NaN or an infinity in any row makes the whole result NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.weighted([0.75, 0.25])
        >>> rows = jnp.array([[1.0, 0.0], [0.0, 4.0]])
        >>> gradient, state = combiner.update(rows, combiner.init(jnp.zeros(2)))
        >>> print(gradient, state.conflicting)
        [0.75 1.  ] 0.0

    References:
        Kurin et al., `In Defense of the Unitary Scalarization for Deep Multi-Task Learning
        <https://arxiv.org/abs/2201.04122>`_, NeurIPS 2022.
    """
    if not isinstance(weights, jax.core.Tracer):
        values = np.asarray(weights)
        if values.ndim != 1 or not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
            raise ValueError(f"weighted: weights={weights}; it must be N numbers")

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        w = jnp.asarray(weights, norms.dtype)
        if w.shape != norms.shape:
            raise ValueError(f"weighted: weights has shape {w.shape}, but the gradients have {len(norms)} rows")
        return w

    return _gramian.combiner("weighted", weigh)
