"""AlexNet, the network of the paper (section 4.2)."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax.models import fast, layers


class AlexNet(nnx.Module):
    """The one-tower AlexNet whose ImageNet weights torchvision publishes.

    Five convolutions (64, 192, 384, 256, 256 channels), three dense layers (4096,
    4096, classes), dropout 0.5 before the first two. Input is NHWC, at least 63 px,
    224 px in the paper; 57,032,519 parameters with 7 classes.

    Reference:
        Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
        2014.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> shapes = jax.eval_shape(lambda: AlexNet(7, rngs=nnx.Rngs(0))(jnp.ones((2, 224, 224, 3))))
        >>> shapes.shape
        (2, 7)
    """

    last_layer: ClassVar[str] = "dense3"

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        self.conv1 = layers.Conv(3, 64, 11, stride=4, padding=2, rngs=rngs)
        self.conv2 = layers.Conv(64, 192, 5, padding=2, rngs=rngs)
        self.conv3 = layers.Conv(192, 384, 3, padding=1, rngs=rngs)
        self.conv4 = layers.Conv(384, 256, 3, padding=1, rngs=rngs)
        self.conv5 = layers.Conv(256, 256, 3, padding=1, rngs=rngs)
        self.dense1 = layers.dense(6 * 6 * 256, 4096, rngs=rngs)
        self.dense2 = layers.dense(4096, 4096, rngs=rngs)
        self.dense3 = layers.dense(4096, num_classes, rngs=rngs)
        self.dropout = nnx.Dropout(0.5)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        return self.dense3(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to what the last layer takes, ``[B, D]``."""
        key1, key2 = (None, None) if key is None else jax.random.split(key)
        x = fast.max_pool(jax.nn.relu(self.conv1(images)), 3, 2)
        x = fast.max_pool(jax.nn.relu(self.conv2(x)), 3, 2)
        x = jax.nn.relu(self.conv3(x))
        x = jax.nn.relu(self.conv4(x))
        x = fast.max_pool(jax.nn.relu(self.conv5(x)), 3, 2)
        x = layers.adaptive_average_pool(x, 6)
        x = jnp.reshape(x, (x.shape[0], -1))
        x = jax.nn.relu(self.dense1(self.dropout(x, deterministic=not train, rngs=key1)))
        x = jax.nn.relu(self.dense2(self.dropout(x, deterministic=not train, rngs=key2)))
        return x
