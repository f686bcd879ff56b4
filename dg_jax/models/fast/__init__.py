"""Parts of networks in the form that XLA runs fastest.

Each function has a plain form of the same name in :mod:`dg_jax.models.fast.plain`. With the environment
variable ``DG_JAX_PLAIN=1`` the plain forms are used: this shows whether a fast form causes a problem.
"""

import os
from collections.abc import Callable

import chex

from dg_jax.models.fast import convolution, depthwise, images, plain, pooling

PLAIN = os.environ.get("DG_JAX_PLAIN", "") not in ("", "0")

convolve: plain.ConvolutionForm = plain.convolve if PLAIN else convolution.convolve
convolve_depthwise: plain.ConvolutionForm = plain.convolve_depthwise if PLAIN else depthwise.convolve_depthwise
for_each_image: Callable[[chex.Array, chex.Array], chex.Array] = (
    plain.for_each_image if PLAIN else images.for_each_image
)
max_pool: Callable[[chex.Array, int, int], chex.Array] = plain.max_pool if PLAIN else pooling.max_pool
