"""Agr-Rand: conflicting components are drawn at random (paper, eq. 4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import agreement, noise, reduce

# XLA:CPU computes so many components at a time, but one at a time where the length is no multiple of it: 57,032,519
# then take 1.6 s and not 0.4.
_VECTOR = 8


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
        agreeing, magnitude, size = _count_and_magnitude(accumulated.total, conflicts)
        sigma = magnitude / jnp.maximum(agreeing, 1)

        next_key, noise_key = jax.random.split(state.key)
        leaves, structure = jax.tree.flatten(accumulated.smallest)
        keys = jax.tree.unflatten(structure, list(jax.random.split(noise_key, len(leaves))))

        def resolve(leaf, total, conflict, key):
            return _with_noise(total, conflict, key, sigma).astype(leaf.dtype)

        consensus = jax.tree.map(resolve, accumulated.smallest, accumulated.total, conflicts, keys)
        return consensus, AgrRandState(next_key, agreeing / max(size, 1), sigma)

    return optax.GradientTransformationExtraArgs(init, update)


def _count_and_magnitude(total: optax.Updates, conflicts: optax.Updates) -> tuple[jax.Array, jax.Array, int]:
    """Returns the number of agreeing components, their absolute values' sum, and the number of all components."""
    agreeing = magnitude = jnp.zeros([], jnp.float32)
    size = 0
    for leaf, conflict in zip(jax.tree.leaves(total), jax.tree.leaves(conflicts), strict=True):
        count, absolute = reduce.sums((~conflict).astype(jnp.int32), jnp.where(conflict, 0, jnp.abs(leaf)))
        agreeing, magnitude, size = agreeing + count, magnitude + absolute, size + leaf.size
    return agreeing, magnitude, size


@jax.jit  # so that a call outside of jit takes as long as within
def _with_noise(total: jax.Array, conflict: jax.Array, key: jax.Array, sigma: jax.Array) -> jax.Array:
    """Puts noise in the place of what conflicts."""
    rest = total.size % _VECTOR
    if not rest:
        return jnp.where(conflict, sigma * noise.normal(key, 0, total.size).reshape(total.shape), total)
    flat, flat_conflict, whole = total.ravel(), conflict.ravel(), total.size - rest
    parts = [
        jnp.where(flat_conflict[start:stop], sigma * noise.normal(key, start, stop), flat[start:stop])
        for start, stop in ((0, whole), (whole, total.size))
    ]
    return jnp.concatenate(parts).reshape(total.shape)
