"""Agr-Rand: conflicting components are drawn at random (paper, eq. 4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import agreement


class AgrRandState(NamedTuple):
    """The random key, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws.
        agreement: fraction of components with Φ = 1, float32 scalar in [0, 1]; 1
            before the first update.
        sigma: standard deviation of the noise, float32 scalar, in the gradient's
            unit; 0 before the first update.
    """

    key: jax.Array
    agreement: jax.Array
    sigma: jax.Array


def agr_rand(seed: int = 0, zeros_agree: bool = True) -> optax.GradientTransformationExtraArgs:
    """Sums the gradients where all their signs agree and draws noise elsewhere.

    A conflicting component becomes a draw of N(0, σ²), where σ is the mean absolute
    value of the sum over all agreeing components of the whole tree; 0 if none agrees.

    Args:
        seed: seed of the key that the state holds; an integer, or a traced one under
            ``jax.vmap`` over seeds.
        zeros_agree: whether a component that is zero in all N gradients counts as
            agreeing, and so stays zero and lowers σ (eq. 2 as written), or as
            conflicting, and so gets noise (how the authors' released code counts).

    Returns:
        A combiner: ``update`` takes leaves ``[N, *shape]``, or the N gradients as
        :func:`~dg_jax.surgery.accumulate` returns them, and returns ``[*shape]`` in
        the leaves' dtype (sums and σ are taken in float32). Its state is an
        :class:`AgrRandState`, whose key advances at each update. N = 1 gives back the
        one gradient. A NaN or an infinity in any row reaches the result, and through σ
        the noise as well. Leaves that disagree in N, and an empty tree, are a
        ``ValueError`` that names the leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.agr_rand(seed=0)
        >>> stacked = jnp.array([[1.0, 2.0], [3.0, -2.0]])
        >>> gradient, state = combiner.update(stacked, combiner.init(jnp.zeros(2)))
        >>> print(gradient[0], bool(gradient[1] == 0), state.sigma)
        4.0 False 4.0

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021,
        eqs. 2 and 4.
    """

    def init(params):
        del params
        return AgrRandState(jax.random.key(seed), jnp.ones([], jnp.float32), jnp.zeros([], jnp.float32))

    def update(gradients, state, params=None, **extra):
        del params, extra
        accumulated = agreement.accumulated(gradients)
        conflicts = agreement.conflicts(accumulated, zeros_agree=zeros_agree)
        agreeing, size = agreement.count_agreeing(conflicts)
        magnitude = sum(
            jnp.sum(jnp.where(conflict, 0, jnp.abs(total)), dtype=jnp.float32)
            for total, conflict in zip(jax.tree.leaves(accumulated.total), jax.tree.leaves(conflicts), strict=True)
        )
        sigma = magnitude / jnp.maximum(agreeing, 1)

        next_key, noise_key = jax.random.split(state.key)
        leaves, structure = jax.tree.flatten(accumulated.smallest)
        keys = jax.tree.unflatten(structure, list(jax.random.split(noise_key, len(leaves))))

        def resolve(leaf, total, conflict, key):
            noise = sigma * jax.random.normal(key, total.shape)
            return jnp.where(conflict, noise, total).astype(leaf.dtype)

        consensus = jax.tree.map(resolve, accumulated.smallest, accumulated.total, conflicts, keys)
        return consensus, AgrRandState(next_key, agreeing / max(size, 1), sigma)

    return optax.GradientTransformationExtraArgs(init, update)
