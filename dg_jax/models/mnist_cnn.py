"""DomainBed's network for digits."""

from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
from flax import nnx

from dg_jax.models import layers


class MnistCNN(nnx.Module):
    """Four 3 × 3 convolutions (64, 128, 128, 128 channels), ReLU and GroupNorm after each, a mean, one dense layer.

    The second convolution has stride 2. Input is NHWC of any size and number of channels; 371,394 parameters with two
    channels and two classes.

    Reference:
        ``MNIST_CNN`` in ``DomainBed/domainbed/networks.py`` (Gulrajani and Lopez-Paz, "In search of lost domain
        generalization", ICLR 2021, https://arxiv.org/abs/2007.01434).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> MnistCNN(2, channels=2, rngs=nnx.Rngs(0))(jnp.ones((5, 28, 28, 2))).shape
        (5, 2)
    """

    last_layer: ClassVar[str] = "dense"

    def __init__(self, num_classes: int, *, channels: int = 3, rngs: nnx.Rngs):
        self.conv1 = layers.Conv(channels, 64, 3, padding=1, rngs=rngs)
        self.norm1 = _group_norm(64, rngs)
        self.conv2 = layers.Conv(64, 128, 3, stride=2, padding=1, rngs=rngs)
        self.norm2 = _group_norm(128, rngs)
        self.conv3 = layers.Conv(128, 128, 3, padding=1, rngs=rngs)
        self.norm3 = _group_norm(128, rngs)
        self.conv4 = layers.Conv(128, 128, 3, padding=1, rngs=rngs)
        self.norm4 = _group_norm(128, rngs)
        self.dense = layers.dense(128, num_classes, rngs=rngs)

    def __call__(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, C]`` to logits ``[B, classes]``."""
        return self.dense(self.features(images, key=key, train=train))

    def features(self, images: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps float images ``[B, H, W, C]`` to what the last layer takes, ``[B, 128]``."""
        del key, train  # no dropout
        x = images
        for i in range(1, 5):
            x = getattr(self, f"norm{i}")(jax.nn.relu(getattr(self, f"conv{i}")(x)))
        return jnp.mean(x, axis=(1, 2))


def _group_norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(channels, num_groups=8, epsilon=1e-5, rngs=rngs)
