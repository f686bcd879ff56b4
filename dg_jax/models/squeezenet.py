"""SqueezeNet 1.1, small and quick to fine-tune on a CPU."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax import imagenet
from dg_jax.models import fast, layers

_MEAN_BGR = (103.939, 116.779, 123.68)  # Caffe's mean of ImageNet's pixels


class Fire(nnx.Module):
    """A 1 × 1 convolution to few channels, then a 1 × 1 and a 3 × 3 convolution in parallel."""

    def __init__(self, inputs: int, squeezed: int, expanded: int, *, rngs: nnx.Rngs):
        self.squeeze = layers.Conv(inputs, squeezed, 1, padding=0, rngs=rngs)
        self.expand1 = layers.Conv(squeezed, expanded, 1, padding=0, rngs=rngs)
        self.expand3 = layers.Conv(squeezed, expanded, 3, padding=1, rngs=rngs)

    def __call__(self, x: chex.Array) -> chex.Array:
        x = jax.nn.relu(self.squeeze(x))
        return jnp.concatenate([jax.nn.relu(self.expand1(x)), jax.nn.relu(self.expand3(x))], axis=-1)


class SqueezeNet(nnx.Module):
    """SqueezeNet 1.1: one convolution, eight fire modules, dropout 0.5, a mean over space, one dense layer.

    It has no BatchNorm. The original ends in a 1 × 1 convolution, a ReLU and the mean. Here a dense layer follows the
    mean, which differs only by this ReLU. Input is NHWC, at least 31 px; 726,600 parameters with 8
    classes. The published weights (``--weights=imagenet``) expect BGR pixels minus their mean. The network converts
    its input to this.

    Reference:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
        https://arxiv.org/abs/1602.07360, version 1.1 from the authors' repository.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> shapes = jax.eval_shape(lambda: SqueezeNet(8, rngs=nnx.Rngs(0))(jnp.ones((2, 96, 96, 3))))
        >>> shapes.shape
        (2, 8)
    """

    last_layer: ClassVar[str] = "dense"

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        self.conv1 = layers.Conv(3, 64, 3, stride=2, padding=0, rngs=rngs)
        self.fire2 = Fire(64, 16, 64, rngs=rngs)
        self.fire3 = Fire(128, 16, 64, rngs=rngs)
        self.fire4 = Fire(128, 32, 128, rngs=rngs)
        self.fire5 = Fire(256, 32, 128, rngs=rngs)
        self.fire6 = Fire(256, 48, 192, rngs=rngs)
        self.fire7 = Fire(384, 48, 192, rngs=rngs)
        self.fire8 = Fire(384, 64, 256, rngs=rngs)
        self.fire9 = Fire(512, 64, 256, rngs=rngs)
        self.dense = layers.dense(512, num_classes, rngs=rngs)
        self.dropout = nnx.Dropout(0.5)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        return self.dense(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to what the last layer takes, ``[B, 512]``."""
        x = imagenet.pixels(images)[..., ::-1] - jnp.array(_MEAN_BGR, images.dtype)[None, None, None]
        x = fast.max_pool(jax.nn.relu(self.conv1(x)), 3, 2)
        x = fast.max_pool(self.fire3(self.fire2(x)), 3, 2)
        x = fast.max_pool(self.fire5(self.fire4(x)), 3, 2)
        x = self.fire9(self.fire8(self.fire7(self.fire6(x))))
        x = self.dropout(x, deterministic=not train, rngs=key)
        return jnp.mean(x, axis=(1, 2))
