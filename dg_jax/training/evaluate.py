"""Accuracy and loss over a whole part, in batches of one shape."""

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


def make_evaluate(apply_fn, batch_size: int = 128):
    """Builds ``evaluate(params, part) -> Evaluation``.

    Every image counts once: the last batch is filled up with copies of the first image,
    which a mask leaves out. One program is compiled for each length of ``part``.
    """

    @jax.jit
    def totals(params, part, index, mask):
        images = sampling.normalize(part.image[index])
        logits = apply_fn(params, images, key=None, train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.label[index])
        correct = jnp.argmax(logits, axis=-1) == part.label[index]
        return jnp.sum(correct & mask), jnp.sum(jnp.where(mask, losses, 0))

    def evaluate(params: chex.ArrayTree, part: dataset.Part) -> Evaluation:
        total = len(part.label)
        results = []
        for start in range(0, total, batch_size):
            index = jnp.arange(start, start + batch_size)
            results.append(totals(params, part, jnp.where(index < total, index, 0), index < total))
        correct, loss = (sum(float(result[i]) for result in results) for i in (0, 1))
        return Evaluation(correct / total, loss / total)

    return evaluate
