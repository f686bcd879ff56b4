"""A parameter that all images share."""

import chex
import jax
from jax import lax

from dg_jax.models.fast import plain


def for_each_image(parameter: chex.Array, num_images: int) -> chex.Array:
    """Repeats ``[C]`` to ``[B, 1, 1, C]``; on accelerators its gradient is summed over each image first.

    Equal to ``jnp.broadcast_to(parameter, (num_images, 1, 1, *parameter.shape))``. Under ``vmap``
    over domains XLA:GPU would fuse the sum over all images with the gradient of the pooling
    into one kernel, which takes ten times as long.
    """
    return _apart_from_its_gradient(plain.for_each_image(parameter, num_images))


@jax.custom_jvp
def _apart_from_its_gradient(x):
    return x


@_apart_from_its_gradient.defjvp
def _jvp(primals, tangents):
    # On a CPU the two sums shall become one.
    return primals[0], lax.platform_dependent(tangents[0], cpu=_unchanged, default=lax.optimization_barrier)


def _unchanged(x):
    return x
