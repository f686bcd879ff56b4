"""The classification loss, and the types that the objectives share."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

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
    """Computes the per-domain losses and their Jacobian."""

    def __call__(
        self, params: chex.ArrayTree, domain_batch: DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        """Returns losses ``[N]`` and their Jacobian, in the form that the objective was made for."""
        ...


class Stateful(NamedTuple):
    """An objective that keeps something from step to step.

    Attributes:
        init: ``init(params, domain_batch) -> state``; only shapes and dtypes of the domain batch count, so its leaves
            may be ``jax.ShapeDtypeStruct``.
        update: ``update(params, domain_batch, state, *, key, step) -> (losses [N], Jacobian, state)``.
    """

    init: Callable[..., chex.ArrayTree]
    update: Callable[..., tuple[chex.Array, Any, chex.ArrayTree]]

    @classmethod
    def of(cls, objective: "Objective | Stateful") -> "Stateful":
        """Returns the same objective, with an empty state if it keeps nothing."""
        if isinstance(objective, Stateful):
            return objective
        stateless = objective

        def update(
            params: chex.ArrayTree,
            domain_batch: DomainBatch,
            state: chex.ArrayTree,
            *,
            key: chex.PRNGKey,
            step: chex.Numeric,
        ) -> tuple[chex.Array, Any, chex.ArrayTree]:
            return *stateless(params, domain_batch, key=key, step=step), state

        return cls(lambda params, domain_batch: (), update)


def cross_entropy(logits: chex.Array, labels: chex.Array) -> chex.Array:
    """Mean cross-entropy of ``logits [B, classes]`` against ``labels`` int ``[B]``."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def in_one(array: chex.Array) -> chex.Array:
    """Makes one domain of N: ``[N, B, ...]`` becomes ``[B · N, ...]``, with the domains in turns.

    The domains take turns, so that what is split over devices along B stays split, and no image is sent.
    """
    return array.swapaxes(0, 1).reshape(-1, *array.shape[2:])
