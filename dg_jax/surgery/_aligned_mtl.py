"""Aligned-MTL: the gradients are made orthogonal and equally long before they are averaged."""

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian

_Scale = Literal["min", "median", "rmse"]


def aligned_mtl(
    scale: _Scale = "min", preference: jax.Array | Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Changes the gradients as little as possible so that they are orthogonal and equally long, and averages them.

    .. math:: G = V \Lambda V^\top, \qquad w = \sqrt{s}\; V_r \Lambda_r^{-1/2} V_r^\top p, \qquad
        g^* = \sum_i w_i g^{(i)}

    with the r eigenvalues of the Gramian G that are above N eps times the largest, and their eigenvectors. s is the
    smallest of these eigenvalues, their lower median or their mean.

    Args:
        scale: which eigenvalue the new gradients have as their squared length: ``"min"``, ``"median"`` or ``"rmse"``
            (the mean of the eigenvalues, as the authors call it).
        preference: p, N numbers of at least 0; 1/N each by default. Under ``optax.inject_hyperparams`` give an array.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: ``scale`` is none of the three, or ``preference`` is not a list of numbers of at least 0; in
            ``update``, ``preference`` has another N, or the gradients do not fit the parameters or each other, or are
            not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean with the default preference (the authors' code sums). N = 1 gives back p
        times the one gradient. The result jumps where an eigenvalue crosses the limit: one just above it makes the step
        short. If all gradients are zero, so is the result. A NaN or an infinity in any row makes the whole result NaN.
        Stacked gradients may have any norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that
        their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.aligned_mtl(), optax.sgd(0.05))
        >>> @jax.jit
        ... def step(params, state):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[1.0, 0.0], [1.0, 2.0]]))
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     return optax.apply_updates(params, updates), state
        >>> params = jnp.array([4.0, 4.0])
        >>> state = optimizer.init(params)
        >>> for _ in range(100):
        ...     params, state = step(params, state)
        >>> print(bool(abs(params[0] - 1) < 0.1), bool(0 < params[1] < 2.1))  # where no step makes both losses better
        True True

    References:
        Senushkin et al., `Independent Component Alignment for Multi-Task Learning <https://arxiv.org/abs/2305.19000>`_,
        CVPR 2023.
    """
    if scale not in get_args(_Scale):
        raise ValueError(f"aligned_mtl: scale={scale!r}; it must be {' or '.join(map(repr, get_args(_Scale)))}")
    _gramian.check_preference("aligned_mtl", preference)

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        p = _gramian.preference_of("aligned_mtl", preference, cosines)
        values, vectors = jnp.linalg.eigh(cosines * norms[:, None] * norms[None, :])  # values ascend
        kept = values > len(norms) * jnp.finfo(norms.dtype).eps * values[-1]
        rank = jnp.sum(kept)
        if scale == "min":
            s = jnp.min(jnp.where(kept, values, jnp.inf))
        elif scale == "median":
            s = values[len(norms) - rank + (rank - 1) // 2]
        else:
            s = jnp.sum(jnp.where(kept, values, 0)) / rank
        s = jnp.where(rank > 0, s, 0)
        lengths = jnp.sqrt(s) / jnp.sqrt(jnp.where(kept, values, 1))
        weights: jax.Array = vectors @ (jnp.where(kept, lengths, 0) * (vectors.T @ p))
        return weights

    return _gramian.combiner("aligned_mtl", weigh)
