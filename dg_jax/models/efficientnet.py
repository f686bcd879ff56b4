"""EfficientNet-Lite0 with frozen BatchNorm statistics."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax import imagenet
from dg_jax.models import fast, layers

# For each stage: blocks, kernel size and stride of the depthwise convolution, expansion factor, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3


class ConvBatchNorm(nnx.Module):
    """A convolution without a bias, with TensorFlow's "SAME" padding, then a frozen BatchNorm."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, rngs: nnx.Rngs):
        init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
        self.kernel = nnx.Param(init(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.bn = layers.FrozenBatchNorm(outputs, _EPSILON)
        self.stride = stride

    def __call__(self, x: chex.Array) -> chex.Array:
        kernel = self.kernel[...]
        return self.bn(fast.convolve(x, kernel, self.stride, _same_padding(x, len(kernel), self.stride)))


class DepthwiseBatchNorm(nnx.Module):
    """A depthwise convolution, with ``kernel`` of shape ``[h, w, 1, C]``, then a frozen BatchNorm."""

    def __init__(self, channels: int, size: int, *, stride: int, rngs: nnx.Rngs):
        init = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
        self.kernel = nnx.Param(init(rngs.params(), (size, size, 1, channels), jnp.float32))
        self.bn = layers.FrozenBatchNorm(channels, _EPSILON)
        self.stride = stride

    def __call__(self, x: chex.Array) -> chex.Array:
        kernel = self.kernel[...]
        return self.bn(fast.convolve_depthwise(x, kernel, self.stride, _same_padding(x, len(kernel), self.stride)))


class InvertedBottleneck(nnx.Module):
    """Expands the channels, convolves each one, reduces them; adds a shortcut if the shape stays the same."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int, *, rngs: nnx.Rngs):
        self.expands = expansion > 1
        if self.expands:
            self.expand = ConvBatchNorm(inputs, inputs * expansion, 1, rngs=rngs)
        self.depthwise = DepthwiseBatchNorm(inputs * expansion, size, stride=stride, rngs=rngs)
        self.project = ConvBatchNorm(inputs * expansion, outputs, 1, rngs=rngs)
        self.has_shortcut = stride == 1 and inputs == outputs

    def __call__(self, x: chex.Array) -> chex.Array:
        y = jax.nn.relu6(self.expand(x)) if self.expands else x
        y = self.project(jax.nn.relu6(self.depthwise(y)))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(nnx.Module):
    """EfficientNet-Lite0: inverted bottlenecks without squeeze-and-excitation, ReLU6, dropout 0.2, one dense layer.

    BatchNorm normalises by the statistics that came with the weights, as in :class:`dg_jax.models.ResNet18`. Input is
    NHWC of any size, 224 px in the original; 3,381,256 parameters with 8 classes. The published weights
    (``--weights=imagenet``) expect pixels as (x - 127) / 128. The network converts its input to this.

    Reference:
        Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
        https://arxiv.org/abs/1905.11946; the Lite variants are from TensorFlow's repository ``tpu``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> shapes = jax.eval_shape(lambda: EfficientNetLite0(8, rngs=nnx.Rngs(0))(jnp.ones((2, 96, 96, 3))))
        >>> shapes.shape
        (2, 8)
    """

    last_layer: ClassVar[str] = "dense"

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        self.stem = ConvBatchNorm(3, 32, 3, stride=2, rngs=rngs)
        inputs, number = 32, 0
        for depth, size, stride, expansion, outputs in _STAGES:
            for i in range(depth):
                block = InvertedBottleneck(inputs, outputs, size, 1 if i else stride, expansion, rngs=rngs)
                setattr(self, f"block{number}", block)
                inputs, number = outputs, number + 1
        self.depth = number
        self.top = ConvBatchNorm(inputs, 1280, 1, rngs=rngs)
        self.dense = layers.dense(1280, num_classes, rngs=rngs)
        self.dropout = nnx.Dropout(0.2)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        return self.dense(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to what the last layer takes, ``[B, 1280]``."""
        x = jax.nn.relu6(self.stem((imagenet.pixels(images) - 127) / 128))
        for number in range(self.depth):
            x = getattr(self, f"block{number}")(x)
        x = jnp.mean(jax.nn.relu6(self.top(x)), axis=(1, 2))
        return self.dropout(x, deterministic=not train, rngs=key)


def _same_padding(x: chex.Array, size: int, stride: int) -> fast.plain.Padding:
    """TensorFlow's "SAME": as many zeros as ``ceil(extent / stride)`` windows need; an odd zero goes to the end."""
    needed = [max((-(-extent // stride) - 1) * stride + size - extent, 0) for extent in x.shape[1:3]]
    return tuple((zeros // 2, zeros - zeros // 2) for zeros in needed)
