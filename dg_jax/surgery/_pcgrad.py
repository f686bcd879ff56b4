"""PCGrad: each gradient is projected off the gradients that it conflicts with (paper, eq. 5)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _gramian, _jacobian, _projections
from dg_jax.surgery._jacobian import Jacobian


class PCGradState(NamedTuple):
    """The random key, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws its orders.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines, scalar; 1 for N = 1 and before the first update. A zero
            gradient has cosine 0 with any other.
        cosine_min: the smallest of them, as ``cosine_mean``.
        conflicting: share of the pairs with a negative cosine, scalar.
    """

    key: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array


def pcgrad(key: int | jax.Array = 0) -> optax.GradientTransformationExtraArgs:
    r"""Projects each gradient off the others that it conflicts with, then sums.

    Gradient i is compared with all other *original* gradients j, in a random order of its own. Where their inner
    product is negative, its part along g(j) is removed:

    .. math:: g^{(i)} \leftarrow g^{(i)} - \frac{\langle g^{(i)}, g^{(j)} \rangle}{\|g^{(j)}\|^2}\, g^{(j)}
        \quad \text{if } \langle g^{(i)}, g^{(j)} \rangle < 0 \qquad \text{(eq. 5)}, \qquad g^* = \sum_i g^{(i)}

    Every projected gradient is a linear combination of the N gradients, so all of this is computed on their Gramian.

    Args:
        key: an integer seed or a key of ``jax.random.key``, the first key of the state; may be traced. Two optimizers
            with the same key, such as the default, draw the same orders.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`PCGradState`, whose key advances.

    Raises:
        ValueError: ``key`` is neither an integer nor a key; in ``update``, the gradients do not fit the parameters or
            each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the sum. No gradient is projected off a zero gradient. N = 1 gives back the one
        gradient. A NaN or an infinity in any row reaches the result (for N > 1 all of it). Stacked gradients may have
        any norm, but if two differ by a factor beyond about 1e37 (in float32) the result may be infinite or NaN. Those
        of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their squares are in range: above, the result
        is NaN; far below, a gradient counts as zero.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.pcgrad(key=0), optax.sgd(0.1))
        >>> params, x = jnp.array([0.0, 1.0]), jnp.array([[1.0, 0.0], [1.0, 2.0]])
        >>> state = optimizer.init(params)
        >>> for _ in range(50):
        ...     losses, jacobian = surgery.value_and_grads(loss, form="two_pass")(params, x)
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> print(params.round(2), state[0].conflicting)
        [1. 1.] 1.0

    References:
        Yu et al., `Gradient Surgery for Multi-Task Learning <https://arxiv.org/abs/2001.06782>`_, NeurIPS 2020,
        algorithm 1; Mansilla et al., `Domain Generalization via Gradient Surgery <https://arxiv.org/abs/2108.01621>`_,
        ICCV 2021.
    """

    def init(params: Any) -> PCGradState:
        one = jnp.ones([], _jacobian.widest(params))
        return PCGradState(_combiner.random_key(key), one, one, jnp.zeros_like(one))

    def rule(jacobian: Jacobian, state: PCGradState, losses: Any) -> tuple[optax.Updates, PCGradState]:
        cosines, norms = _jacobian.cosines_and_norms(jacobian)
        next_key, order_key = jax.random.split(state.key)
        combinations = _project(cosines, _projections.random_orders(order_key, len(norms)))
        weights = _projections.weights_of_sum(combinations, norms)
        return _jacobian.weighted_sum(jacobian, weights), PCGradState(next_key, *_gramian.summary(cosines))

    return _combiner.combiner("pcgrad", init, rule, ("stacked", "two_pass"))


def _project(cosines: jax.Array, orders: jax.Array) -> jax.Array:
    """Applies eq. 5 to all unit gradients at once: row i is projected gradient i as a combination of them."""
    n = len(cosines)
    i = jnp.arange(n)

    def equation_5(step: jax.Array, combinations: jax.Array) -> jax.Array:
        j = orders[:, step]
        inner = jnp.sum(combinations * cosines[j], axis=1)
        lost = jnp.where((j == i) | (inner >= 0), 0, inner)  # a NaN stays and reaches the result
        return combinations.at[i, j].add(-lost)

    combinations: jax.Array = jax.lax.fori_loop(0, n, equation_5, _projections.unprojected(cosines))
    return combinations
