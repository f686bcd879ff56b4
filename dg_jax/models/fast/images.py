"""A parameter that all images share."""

import chex
import jax
import jax.numpy as jnp
from jax import lax


def for_each_image(parameter: chex.Array, x: chex.Array) -> chex.Array:
    """Repeats ``[C]`` for the images ``[B, H, W, C]``; on accelerators its gradient is summed over each image first.

    Equal to ``jnp.broadcast_to(parameter, (len(x), 1, 1, *parameter.shape))``. Under ``vmap``
    over domains XLA:GPU would fuse the sum over all images with the gradient of the pooling
    into one kernel, which is much slower.
    """
    # Zeros made from x are on the same devices as x. A new array would be copied to all of them.
    zeros = jnp.zeros_like(x[:, :1, :1], parameter.dtype)
    return _apart_from_its_gradient(parameter[None, None, None] + zeros)


@jax.custom_jvp
def _apart_from_its_gradient(x):
    return x


@_apart_from_its_gradient.defjvp
def _jvp(primals, tangents):
    # No barrier on a CPU, so that XLA makes one sum of the two.
    return primals[0], lax.platform_dependent(tangents[0], cpu=unchanged, default=lax.optimization_barrier)


def unchanged(x):
    return x
