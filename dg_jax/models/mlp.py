"""A small network for vectors."""

import itertools

import chex
import jax
from flax import nnx

from dg_jax.models import layers


class MLP(nnx.Module):
    """Hidden layers of 64 units with leaky ReLU, three by default, then one dense layer.

    Input is any array ``[B, ...]``. Each example is flattened to a vector. The layers are ``dense1``, ``dense2``, ….

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> MLP(2, inputs=18, rngs=nnx.Rngs(0))(jnp.ones((5, 18))).shape
        (5, 2)
    """

    def __init__(self, num_classes: int, *, inputs: int = 18, hidden_layers: int = 3, rngs: nnx.Rngs):
        sizes = (inputs, *[64] * hidden_layers, num_classes)
        for number, (ins, outs) in enumerate(itertools.pairwise(sizes), 1):
            setattr(self, f"dense{number}", layers.dense(ins, outs, rngs=rngs))
        self.hidden_layers = hidden_layers
        self.last_layer = f"dense{hidden_layers + 1}"

    def __call__(self, examples: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps floats ``[B, ...]`` to logits ``[B, classes]``."""
        logits: chex.Array = getattr(self, self.last_layer)(self.features(examples, key=key, train=train))
        return logits

    def features(self, examples: chex.Array, *, key: chex.PRNGKey | None = None, train: bool = False) -> chex.Array:
        """Maps floats ``[B, ...]`` to what the last layer takes, ``[B, 64]``."""
        del key, train  # no dropout
        x = examples.reshape(len(examples), -1)
        for number in range(1, self.hidden_layers + 1):
            x = jax.nn.leaky_relu(getattr(self, f"dense{number}")(x))
        return x
