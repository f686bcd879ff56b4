"""The classification loss, and the types that the objectives share."""

from collections.abc import Callable

import chex
import jax.numpy as jnp
import optax

DomainBatch = dict[str, chex.Array]
Objective = Callable[..., tuple[chex.Array, chex.ArrayTree]]


def cross_entropy(logits: chex.Array, labels: chex.Array) -> chex.Array:
    """Mean cross-entropy of ``logits [B, classes]`` against ``labels`` int ``[B]``."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
