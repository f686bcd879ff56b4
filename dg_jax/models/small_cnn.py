"""A small network for small pictures, quick to train on a CPU."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax.models import layers


class SmallCNN(nnx.Module):
    """Three 3 × 3 convolutions of stride 2 (32, 64, 128 channels), a mean over space, one dense layer.

    Strides replace pooling, since this is much faster on a CPU. Input is NHWC of any size;
    94,280 parameters with 8 classes.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> SmallCNN(8, rngs=nnx.Rngs(0))(jnp.ones((2, 32, 32, 3))).shape
        (2, 8)
    """

    last_layer: ClassVar[str] = "dense"

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        self.conv1 = layers.Conv(3, 32, 3, stride=2, padding=1, rngs=rngs)
        self.conv2 = layers.Conv(32, 64, 3, stride=2, padding=1, rngs=rngs)
        self.conv3 = layers.Conv(64, 128, 3, stride=2, padding=1, rngs=rngs)
        self.dense = layers.dense(128, num_classes, rngs=rngs)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        return self.dense(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to what the last layer takes, ``[B, D]``."""
        del key, train  # no dropout
        x = images
        for conv in (self.conv1, self.conv2, self.conv3):
            x = jax.nn.relu(conv(x))
        return jnp.mean(x, axis=(1, 2))
