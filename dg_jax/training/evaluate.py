"""Computes accuracy and loss over whole parts, in batches of one shape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.data import dataset, feed, sampling
from dg_jax.training import devices

AT_ONCE = 128


class Evaluation(NamedTuple):
    """How well a network does on some images.

    Attributes:
        confusion: number of images by true class (rows) and predicted class (columns), integers ``[classes, classes]``.
        loss: mean cross-entropy in nats.
    """

    confusion: np.ndarray
    loss: float

    @property
    def accuracy(self) -> float:
        """The fraction of images with the right class, in [0, 1]."""
        return float(np.trace(self.confusion) / np.sum(self.confusion))


Batches = Iterable[tuple[dataset.Part, chex.Array]]


class Evaluations(NamedTuple):
    """The evaluations of a run, each a function of the parameters. For S runs side by side each returns a list.

    Attributes:
        validation: on the validation parts of all sources together.
        test: on the test part of the target.
        watched: on each part that is only watched, by its name.
    """

    validation: Callable[[chex.ArrayTree], Any]
    test: Callable[[chex.ArrayTree], Any]
    watched: Mapping[str, Callable[[chex.ArrayTree], Any]]


def of_run(
    apply_fn,
    data: dataset.MultiDomainDataset,
    sources: Sequence[str],
    target: str,
    layout: devices.Layout = devices.ONE,
) -> Evaluations:
    """Builds the evaluations of one run."""
    run = make_evaluate(apply_fn, layout)

    def on(parts: Sequence[dataset.AnyPart]) -> Callable[[chex.ArrayTree], Evaluation]:
        batches = feed.passes(parts, AT_ONCE)
        return lambda params: run(params, batches())

    return Evaluations(
        validation=on([data.domains[source]["validation"] for source in sources]),
        test=on([data.domains[target]["test"]]),
        watched={name: on([part]) for name, part in data.watched.items()},
    )


def make_evaluate(apply_fn, layout: devices.Layout = devices.ONE) -> Callable[[chex.ArrayTree, Batches], Evaluation]:
    """Builds ``evaluate(params, batches) -> Evaluation``, with ``batches`` as from :func:`dg_jax.data.feed.passes`.

    Every image counts once.
    """
    totals = jax.jit(_make_totals(apply_fn, layout))

    def evaluate(params: chex.ArrayTree, batches: Batches) -> Evaluation:
        return _whole([totals(params, part, mask) for part, mask in batches])

    return evaluate


def make_evaluate_seeds(apply_fn) -> Callable[[chex.ArrayTree, Batches], list[Evaluation]]:
    """Builds the function of :func:`make_evaluate` for S networks side by side.

    Parameters and parts have a leading axis S; one mask is for all.
    """
    totals = jax.jit(jax.vmap(_make_totals(apply_fn, devices.ONE), in_axes=(0, 0, None)))

    def evaluate(params: chex.ArrayTree, batches: Batches) -> list[Evaluation]:
        results = [jax.device_get(totals(params, part, mask)) for part, mask in batches]
        return [_whole([(loss[i], confusion[i]) for loss, confusion in results]) for i in range(len(results[0][0]))]

    return evaluate


def _whole(results: Sequence[tuple[chex.Array, chex.Array]]) -> Evaluation:
    """Adds up the results of the batches."""
    confusion = np.sum([np.asarray(confusion) for _, confusion in results], axis=0)
    return Evaluation(confusion, sum(float(loss) for loss, _ in results) / int(np.sum(confusion)))


def _make_totals(apply_fn, layout):
    def totals(params, part, mask):
        part, mask = layout.examples((part, mask))
        logits = apply_fn(params, sampling.network_input(part.image), key=None, train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, part.label)
        classes = logits.shape[-1]
        confusion = jnp.zeros((classes, classes), jnp.int32)
        confusion = confusion.at[part.label, jnp.argmax(logits, axis=-1)].add(mask)
        return layout.on_all((jnp.sum(jnp.where(mask, losses, 0)), confusion))

    return totals
