"""Layers that the networks share."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dg_jax.models import fast


def _pytorch_default(fan_in: int) -> nnx.Initializer:
    """PyTorch's default initialisation of weights and biases: U(±1/√fan_in)."""
    width = 2 * fan_in**-0.5
    uniform = nnx.initializers.uniform(width)
    return lambda key, shape, dtype=jnp.float32, **options: uniform(key, shape, dtype, **options) - width / 2


class Conv(nnx.Module):
    """A square convolution with a bias and PyTorch's default initialisation: ``[B, H, W, I]`` to ``[B, H', W', O]``."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int, rngs: nnx.Rngs):
        init = _pytorch_default(inputs * size * size)
        self.kernel = nnx.Param(init(rngs.params(), (size, size, inputs, outputs)))
        self.bias = nnx.Param(init(rngs.params(), (outputs,)))
        self.stride = stride
        self.padding = padding

    def __call__(self, x: chex.Array) -> chex.Array:
        padding = ((self.padding, self.padding), (self.padding, self.padding))
        y = fast.convolve(x, self.kernel[...], self.stride, padding)
        return y + fast.for_each_image(self.bias[...], y)


class FrozenBatchNorm(nnx.Module):
    """Normalises ``[B, H, W, C]`` by fixed statistics: ``(x - mean) / √(var + ε) · scale + bias``.

    ``scale`` and ``bias`` are parameters. ``mean`` and ``var`` are not (``nnx.BatchStat``):
    no gradient, combiner, L2 term or optimizer changes them. They are 0 and 1 until
    pretrained values are loaded.
    """

    def __init__(self, features: int, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones(features, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(features, jnp.float32))
        self.epsilon = epsilon
        self.var = nnx.BatchStat(jnp.ones(features, jnp.float32))

    def __call__(self, x: chex.Array) -> chex.Array:
        scale, bias = (fast.for_each_image(own[...], x) for own in (self.scale, self.bias))
        mean, var = (own[...][None, None, None] for own in (self.mean, self.var))
        y = (x - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.astype(x.dtype)  # the statistics are float32 even if the network computes in bfloat16


def dense(inputs: int, outputs: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """A dense layer with a bias and PyTorch's default initialisation."""
    init = _pytorch_default(inputs)
    return nnx.Linear(inputs, outputs, kernel_init=init, bias_init=init, rngs=rngs)


def adaptive_average_pool(x: chex.Array, size: int) -> chex.Array:
    """Averages ``[B, H, W, C]`` to ``[B, size, size, C]``, with the windows of PyTorch."""

    def averages(extent):
        weights = np.zeros((size, extent), np.float32)
        for i in range(size):
            start, stop = i * extent // size, -(-(i + 1) * extent // size)
            weights[i, start:stop] = 1 / (stop - start)
        return weights.astype(x.dtype)

    if x.shape[1:3] == (size, size):
        return x
    return jnp.einsum("bhwc,ih,jw->bijc", x, averages(x.shape[1]), averages(x.shape[2]))
