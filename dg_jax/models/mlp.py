"""A small network for vectors."""

from typing import ClassVar

import chex
import jax
from flax import nnx

from dg_jax.models import layers


class MLP(nnx.Module):
    """Three hidden layers of 64 units with leaky ReLU, then one dense layer.

    Input is any array ``[B, ...]``. Each example is flattened to a vector.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> MLP(2, inputs=18, rngs=nnx.Rngs(0))(jnp.ones((5, 18))).shape
        (5, 2)
    """

    last_layer: ClassVar[str] = "dense4"

    def __init__(self, num_classes: int, *, inputs: int = 18, rngs: nnx.Rngs):
        self.dense1 = layers.dense(inputs, 64, rngs=rngs)
        self.dense2 = layers.dense(64, 64, rngs=rngs)
        self.dense3 = layers.dense(64, 64, rngs=rngs)
        self.dense4 = layers.dense(64, num_classes, rngs=rngs)

    def __call__(self, examples: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps floats ``[B, ...]`` to logits ``[B, classes]``."""
        return self.dense4(self.features(examples, key=key, train=train))

    def features(self, examples: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps floats ``[B, ...]`` to what the last layer takes, ``[B, 64]``."""
        del key, train  # no dropout
        x = examples.reshape(len(examples), -1)
        for dense in (self.dense1, self.dense2, self.dense3):
            x = jax.nn.leaky_relu(dense(x))
        return x
