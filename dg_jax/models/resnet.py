"""ResNet-18 and ResNet-50 with frozen BatchNorm statistics."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax.models import fast, layers


class ConvWithoutBias(nnx.Module):
    """A square convolution without a bias, since a BatchNorm with one follows; torchvision's initialisation."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, rngs: nnx.Rngs):
        init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
        self.kernel = nnx.Param(init(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.stride = stride
        self.padding = size // 2

    def __call__(self, x: chex.Array) -> chex.Array:
        padding = ((self.padding, self.padding), (self.padding, self.padding))
        return fast.convolve(x, self.kernel[...], self.stride, padding)


class BasicBlock(nnx.Module):
    """Two 3 × 3 convolutions beside a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int, *, rngs: nnx.Rngs):
        self.conv1 = ConvWithoutBias(inputs, width, 3, stride=stride, rngs=rngs)
        self.bn1 = layers.FrozenBatchNorm(width)
        self.conv2 = ConvWithoutBias(width, width, 3, rngs=rngs)
        self.bn2 = layers.FrozenBatchNorm(width)

    def __call__(self, x: chex.Array) -> chex.Array:
        x = jax.nn.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(nnx.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions beside a shortcut; the 3 × 3 has the stride (torchvision's "v1.5")."""

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int, *, rngs: nnx.Rngs):
        self.conv1 = ConvWithoutBias(inputs, width, 1, rngs=rngs)
        self.bn1 = layers.FrozenBatchNorm(width)
        self.conv2 = ConvWithoutBias(width, width, 3, stride=stride, rngs=rngs)
        self.bn2 = layers.FrozenBatchNorm(width)
        self.conv3 = ConvWithoutBias(width, width * self.expansion, 1, rngs=rngs)
        self.bn3 = layers.FrozenBatchNorm(width * self.expansion)

    def __call__(self, x: chex.Array) -> chex.Array:
        x = jax.nn.relu(self.bn1(self.conv1(x)))
        x = jax.nn.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class Stage(nnx.Module):
    """``depth`` residual blocks; the first has the stride and, if it changes the shape, a projected shortcut."""

    def __init__(self, block, inputs: int, width: int, depth: int, stride: int, *, rngs: nnx.Rngs):
        outputs = width * block.expansion
        self.depth = depth
        self.block0 = block(inputs, width, stride, rngs=rngs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = ConvWithoutBias(inputs, outputs, 1, stride=stride, rngs=rngs)
            self.shortcut_bn = layers.FrozenBatchNorm(outputs)
        for i in range(1, depth):
            setattr(self, f"block{i}", block(outputs, width, 1, rngs=rngs))

    def __call__(self, x: chex.Array) -> chex.Array:
        shortcut = self.shortcut_bn(self.shortcut_conv(x)) if self.projects else x
        x = jax.nn.relu(self.block0(x) + shortcut)
        for i in range(1, self.depth):
            x = jax.nn.relu(getattr(self, f"block{i}")(x) + x)
        return x


class _ResNet(nnx.Module):
    last_layer: ClassVar[str] = "dense"

    def __init__(self, block, depths: tuple[int, int, int, int], num_classes: int, *, rngs: nnx.Rngs):
        self.conv1 = ConvWithoutBias(3, 64, 7, stride=2, rngs=rngs)
        self.bn1 = layers.FrozenBatchNorm(64)
        self.layer1 = Stage(block, 64, 64, depths[0], 1, rngs=rngs)
        self.layer2 = Stage(block, 64 * block.expansion, 128, depths[1], 2, rngs=rngs)
        self.layer3 = Stage(block, 128 * block.expansion, 256, depths[2], 2, rngs=rngs)
        self.layer4 = Stage(block, 256 * block.expansion, 512, depths[3], 2, rngs=rngs)
        self.dense = layers.dense(512 * block.expansion, num_classes, rngs=rngs)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        return self.dense(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to what the last layer takes, ``[B, D]``."""
        del key, train  # no dropout, and BatchNorm is the same in training and evaluation
        x = jax.nn.relu(self.bn1(self.conv1(images)))
        # Nothing after a ReLU is below zero, so padding with zeros gives the same maxima as padding with -inf.
        x = fast.max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return jnp.mean(x, axis=(1, 2))


class ResNet18(_ResNet):
    """The ResNet-18 whose ImageNet weights torchvision publishes, with frozen BatchNorm statistics.

    BatchNorm normalises by the mean and variance that came with the weights
    (``--weights``), in training and in evaluation. This is usual in fine-tuning for domain
    generalization (DomainBed does it): the statistics of a batch of several domains fit
    none of them. Scale and bias are trained. Without weights the mean is 0 and the variance
    1: nothing is normalised. The statistics are not among the parameters.

    Input is NHWC of any size, 224 px in ImageNet; 11,180,103 parameters with 7 classes.

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> shapes = jax.eval_shape(lambda: ResNet18(7, rngs=nnx.Rngs(0))(jnp.ones((2, 224, 224, 3))))
        >>> shapes.shape
        (2, 7)
    """

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        super().__init__(BasicBlock, (2, 2, 2, 2), num_classes, rngs=rngs)


class ResNet50(_ResNet):
    """The ResNet-50 whose ImageNet weights torchvision publishes, with frozen BatchNorm statistics.

    Like :class:`ResNet18`, but built of bottleneck blocks; 23,522,375 parameters with 7 classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> shapes = jax.eval_shape(lambda: ResNet50(7, rngs=nnx.Rngs(0))(jnp.ones((2, 224, 224, 3))))
        >>> shapes.shape
        (2, 7)
    """

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        super().__init__(Bottleneck, (3, 4, 6, 3), num_classes, rngs=rngs)
