"""GGA-L: adds noise to the mean, the more the gradients disagree."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _fast, _gramian, _jacobian
from dg_jax.surgery._jacobian import Jacobian


class GgaLState(NamedTuple):
    """The random key, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws.
        sigma: standard deviation σ of the noise, scalar; 0 before the first update.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines, scalar; 1 for N = 1 and before the first update. A zero
            gradient has cosine 0 with any other.
        cosine_min: the smallest of them, as ``cosine_mean``.
        conflicting: share of the pairs with a negative cosine, scalar.
    """

    key: jax.Array
    sigma: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array


def gga_l(gamma: float | jax.Array = 1e-3, key: int | jax.Array = 0) -> optax.GradientTransformationExtraArgs:
    r"""Adds noise to the mean; its size grows with the angles between the gradients.

    .. math:: g^* = \frac1N \sum_i g^{(i)} + \epsilon, \qquad \epsilon_j \sim N(0, \sigma^2), \qquad
        \sigma = \gamma\, \Big( 1 - \frac{2}{N (N - 1)} \sum_{i < k} \cos(g^{(i)}, g^{(k)}) \Big)

    Args:
        gamma: γ, at least 0, in the gradient's unit. May be traced.
        key: an integer seed or a key of ``jax.random.key``, the first key of the state; may be traced. Two optimizers
            with the same key, such as the default, draw the same noise.

    Returns:
        A combiner for stacked gradients, with a :class:`GgaLState`, whose key advances.

    Raises:
        ValueError: ``gamma`` is below 0, or ``key`` neither an integer nor a key; in ``update``, the gradients do not
            fit the parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the mean. The noise does not grow with the gradients, as in the released code, so γ
        must fit their size. N = 1 gives back the one gradient. A NaN or an infinity in any row makes the whole result
        NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.gga_l(gamma=0.1)
        >>> gradient, state = combiner.update(jnp.array([[3.0, 0.0], [0.0, 1.0]]), combiner.init(jnp.zeros(2)))
        >>> print(state.sigma.round(3), bool(abs(gradient[0] - 1.5) < 0.5))
        0.1 True

    References:
        Ballas and Diou, "Gradient-Guided Annealing for Domain Generalization", CVPR 2025: its light variant, as in
        `the authors' code <https://github.com/aristotelisballas/GGA>`_.
    """
    if isinstance(gamma, int | float) and not 0 <= gamma < jnp.inf:
        raise ValueError(f"gga_l: gamma={gamma}; it must be a number of at least 0")

    def init(params: Any) -> GgaLState:
        one = jnp.ones([], _jacobian.widest(params))
        zero = jnp.zeros_like(one)
        return GgaLState(_combiner.random_key(key), zero, one, one, zero)

    def rule(jacobian: Jacobian, state: GgaLState, losses: Any) -> tuple[optax.Updates, GgaLState]:
        cosines, _ = _jacobian.cosines_and_norms(jacobian)
        summary = _gramian.summary(cosines)
        sigma = jnp.asarray(gamma, cosines.dtype) * (1 - summary[0])
        next_key, noise_key = jax.random.split(state.key)
        facts, structure = jax.tree.flatten(_jacobian.by_component(jacobian), is_leaf=_jacobian.is_accumulated)

        def noisy(total: jax.Array, leaf_key: jax.Array) -> jax.Array:
            everywhere = jnp.ones(total.shape, bool)
            return total / len(cosines) + _fast.noise_where(everywhere, leaf_key, sigma.astype(total.dtype), total)

        keys = jax.random.split(noise_key, len(facts))
        leaves = [noisy(fact.total, k).astype(fact.smallest.dtype) for fact, k in zip(facts, keys, strict=True)]
        return jax.tree.unflatten(structure, leaves), GgaLState(next_key, sigma, *summary)

    return _combiner.combiner("gga_l", init, rule, ("stacked",))
