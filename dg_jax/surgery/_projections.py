"""Shared by the rules that change each gradient along the others, in a random order."""

import jax
import jax.numpy as jnp


def random_orders(key: jax.Array, n: int) -> jax.Array:
    """Draws an order of the N gradients for each of them, int ``[N, N]``."""
    each = jnp.tile(jnp.arange(n), (n, 1))
    return jax.random.permutation(key, each, axis=1, independent=True)


def unprojected(cosines: jax.Array) -> jax.Array:
    """Returns the unit gradients as combinations of themselves, ``[N, N]``."""
    own = jnp.eye(len(cosines), dtype=bool)
    return jnp.where(own, jnp.ones_like(cosines), 0)  # varies over devices where the cosines do


def weights_of_sum(combinations: jax.Array, norms: jax.Array) -> jax.Array:
    """Returns the weight of each gradient in the sum of all changed ones, ``[N]``.

    Args:
        combinations: ``[N, N]``; row i is changed gradient i over the norm of gradient i, as a combination of unit
            gradients.
        norms: of the gradients, ``[N]``.
    """
    lengths = jnp.where(norms == 0, 1, norms)
    # XLA divides by multiplying with the reciprocal. Beyond this limit that is subnormal, and so zero.
    lengths = lengths / jnp.minimum(jnp.max(lengths), (1 / jnp.finfo(norms.dtype).tiny).astype(norms.dtype))
    others = jnp.where(jnp.eye(len(norms), dtype=bool), 0, combinations)
    of_units = jnp.where(others == 0, 0, others * lengths[:, None] / lengths[None, :])
    return 1 + jnp.sum(of_units, axis=0)  # no gradient is changed along itself: its own part is exactly 1
