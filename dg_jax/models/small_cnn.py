"""A small network for small pictures, quick to train on a CPU."""

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax.models import layers


class SmallCNN(nnx.Module):
    """Three 3 × 3 convolutions (32, 64, 128 channels), each pooled 2 × 2, one dense layer.

    The last feature map is averaged to 4 × 4, which leaves it as it is for 32 px input.
    Input is NHWC, at least 8 px; 109,640 parameters with 8 classes.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> SmallCNN(8, rngs=nnx.Rngs(0))(jnp.ones((2, 32, 32, 3))).shape
        (2, 8)
    """

    def __init__(self, num_classes: int, *, rngs: nnx.Rngs):
        self.conv1 = layers.conv(3, 32, 3, padding=1, rngs=rngs)
        self.conv2 = layers.conv(32, 64, 3, padding=1, rngs=rngs)
        self.conv3 = layers.conv(64, 128, 3, padding=1, rngs=rngs)
        self.dense = layers.dense(4 * 4 * 128, num_classes, rngs=rngs)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, 3]`` to logits ``[B, classes]``."""
        del key, train  # no dropout
        x = images
        for conv in (self.conv1, self.conv2, self.conv3):
            x = layers.max_pool(jax.nn.relu(conv(x)), 2, 2)
        x = layers.adaptive_average_pool(x, 4)
        return self.dense(jnp.reshape(x, (x.shape[0], -1)))
