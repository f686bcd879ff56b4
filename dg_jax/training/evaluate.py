"""Accuracy and loss over whole parts, in batches of one shape."""

from collections.abc import Iterable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dg_jax.data import dataset, sampling


class Evaluation(NamedTuple):
    """Accuracy in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


def make_evaluate(apply_fn):
    """Builds ``evaluate(params, batches) -> Evaluation``, with ``batches`` as from :func:`dg_jax.data.feed.passes`.

    Every image counts once.
    """

    @jax.jit
    def totals(params, part, mask):
        logits = apply_fn(params, sampling.normalize(part.image), key=None, train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.label)
        correct = jnp.argmax(logits, axis=-1) == part.label
        return jnp.sum(correct & mask), jnp.sum(jnp.where(mask, losses, 0)), jnp.sum(mask)

    def evaluate(params: chex.ArrayTree, batches: Iterable[tuple[dataset.Part, chex.Array]]) -> Evaluation:
        results = [totals(params, part, mask) for part, mask in batches]
        correct, loss, total = (sum(float(result[i]) for result in results) for i in range(3))
        return Evaluation(correct / total, loss / total)

    return evaluate
