"""Normal noise from a counter: each component's draw is a hash of its place."""

import jax
import jax.numpy as jnp
import numpy as np

# Two rounds of shift and multiply, with the constants that Chris Wellons' search found to leave the least bias:
# https://github.com/skeeto/hash-prospector
_ROUNDS = ((16, 0x21F0AAAD, 15, 0x735A2D97, 15), (16, 0x7FEB352D, 15, 0x846CA68B, 16))


def normal(key: jax.Array, start: int, stop: int) -> jax.Array:
    """Returns components ``start`` to ``stop`` of an endless row of draws from N(0, 1).

    Takes a third of the time of :func:`jax.random.normal`, whose threefry makes eight times as
    many operations a number: noise needs no cryptography. A component depends on the key and
    its place alone, so the draws are the same however an array is cut over devices.

    Args:
        key: typed PRNG key of any implementation.
        start: place of the first.
        stop: place after the last. After 2³² places the row repeats itself.

    Returns:
        float32 ``[stop - start]``, each one of 2²⁴ values between -5.42 and 5.42, none of them 0.
    """
    words = jax.random.bits(key, (len(_ROUNDS),), jnp.uint32)
    hashed = jax.lax.iota(jnp.uint32, stop - start) + jnp.uint32(start)
    for word, (shift1, factor1, shift2, factor2, shift3) in zip(words, _ROUNDS, strict=True):
        hashed ^= word
        hashed = (hashed ^ (hashed >> shift1)) * jnp.uint32(factor1)
        hashed = (hashed ^ (hashed >> shift2)) * jnp.uint32(factor2)
        hashed ^= hashed >> shift3
    # 24 bits with a sign, as the odd multiples of 2⁻²⁴ between -1 and 1.
    signed = jax.lax.bitcast_convert_type(hashed, jnp.int32) >> 8
    uniform = signed.astype(jnp.float32) * 2**-23 + 2**-24
    return np.sqrt(2, dtype=np.float32) * jax.lax.erf_inv(uniform)
