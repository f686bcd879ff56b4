"""The classification loss, and the types that the objectives share."""

from typing import Any, Protocol, TypeAlias

import chex
import jax.numpy as jnp
import optax

DomainBatch: TypeAlias = dict[str, chex.Array]


class ApplyFn(Protocol):
    """A network as a pure function of its parameters."""

    def __call__(self, params: chex.ArrayTree, images: chex.Array, *, key: chex.PRNGKey, train: bool) -> chex.Array:
        """Returns logits ``[B, classes]`` of images ``[B, H, W, C]``; ``key`` is for dropout."""
        ...


class Objective(Protocol):
    """What each domain's gradient is taken of."""

    def __call__(
        self, params: chex.ArrayTree, domain_batch: DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        """Returns losses ``[N]`` and their Jacobian, in the form that the objective was made for."""
        ...


def cross_entropy(logits: chex.Array, labels: chex.Array) -> chex.Array:
    """Mean cross-entropy of ``logits [B, classes]`` against ``labels`` int ``[B]``."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
