"""SWAD: averages the parameters over the steps in a valley of the validation loss."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.config import methods


class Valley(NamedTuple):
    """What is known of the valley so far. A segment is the steps from one validation to the next.

    Attributes:
        segments: the means of the parameters over the last K segments, the latest last; leaves ``[K, *shape]``.
        losses: the validation losses at their ends, float32 ``[K]``.
        steps: the number of steps in each, int32 ``[K]``.
        mean: the mean over the segments that certainly lie in the valley; before the first, the segment that ends where
            the valley begins.
        count: number of steps in the segments of the mean that lie in the valley, int32.
        validations: number of validations so far, int32.
        start: the validation at which the valley begins, counted from 1; 0 before that is known.
        taken: the validation that ends the last segment in the mean.
        end: the validation at which the valley ends; 0 while it goes on.
        threshold: a loss above this is too high, float32.
    """

    segments: chex.ArrayTree
    losses: chex.Array
    steps: chex.Array
    mean: chex.ArrayTree
    count: chex.Array
    validations: chex.Array
    start: chex.Array
    taken: chex.Array
    end: chex.Array
    threshold: chex.Array


def init(params: chex.ArrayTree, settings: methods.Swad) -> Valley:
    """Returns what is known before the first validation."""
    length = max(settings.n_converge, settings.n_tolerance)
    segments = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), params)
    counts = ("count", "validations", "start", "taken", "end")
    return Valley(
        segments=segments,
        losses=jnp.zeros(length),
        steps=jnp.zeros(length, jnp.int32),
        mean=jax.tree.map(jnp.zeros_like, params),
        threshold=jnp.zeros([]),
        **{name: jnp.zeros([], jnp.int32) for name in counts},
    )


def after_validation(
    valley: Valley, segment: chex.ArrayTree, steps: int, loss: float, settings: methods.Swad
) -> Valley:
    """Looks for the beginning or the end of the valley after one more validation.

    The valley begins at the first validation whose loss is the lowest of the ``n_converge`` losses from it on. A loss
    above ``1 + tolerance_ratio`` times the mean of these is too high. The valley ends before the first ``n_tolerance``
    losses in a row that are too high.

    Args:
        valley: what was known before.
        segment: the mean of the parameters since the last validation.
        steps: the number of steps since then.
        loss: the validation loss.
        settings: of ``--average=swad``.

    Reference:
        Cha et al., "SWAD: Domain Generalization by Seeking Flat Minima", NeurIPS 2021, algorithm 1. The authors' code
        also averages up to three segments before the beginning, some of them twice if the beginning is among the first
        six validations. Here none of these is averaged.
    """
    if int(valley.end):
        return valley
    losses = np.append(np.asarray(valley.losses)[1:], np.float32(loss))
    valley = valley._replace(
        segments=_pushed(valley.segments, segment),
        losses=jnp.array(losses),
        steps=jnp.append(valley.steps[1:], jnp.int32(steps)),
        validations=valley.validations + 1,
    )
    number = int(valley.validations)
    if int(valley.start):
        if number >= settings.n_tolerance and np.min(losses[-settings.n_tolerance :]) > valley.threshold:
            return valley._replace(end=jnp.int32(number - settings.n_tolerance))
    elif number >= settings.n_converge and np.argmin(losses[-settings.n_converge :]) == 0:
        start = number - settings.n_converge + 1
        threshold = (1 + settings.tolerance_ratio) * np.mean(losses[-settings.n_converge :])
        before = jax.tree.map(lambda leaf: leaf[-settings.n_converge], valley.segments)
        valley = valley._replace(
            start=jnp.int32(start),
            taken=jnp.int32(start),  # not the same array, as the next step uses up both
            mean=before,
            threshold=jnp.float32(threshold),
        )
    if int(valley.start):
        for validation in range(int(valley.taken) + 1, number - settings.n_tolerance + 2):
            valley = _taken(valley, validation)
    return valley


def average(valley: Valley) -> chex.ArrayTree:
    """Returns the mean over the valley if the training ends here; before a valley, the mean over the last segment.

    Last segments whose losses are all too high are left out.
    """
    if not int(valley.start):
        return jax.tree.map(lambda leaf: leaf[-1], valley.segments)
    if not int(valley.end):
        number = int(valley.validations)
        in_reach = np.flatnonzero(np.asarray(valley.losses) <= valley.threshold)
        last = number - (len(valley.losses) - 1 - in_reach[-1]) if in_reach.size else 0
        for validation in range(int(valley.taken) + 1, last + 1):
            valley = _taken(valley, validation)
    return valley.mean


def _taken(valley: Valley, validation: int) -> Valley:
    """Adds the segment that ends at a validation to the mean."""
    i = validation - int(valley.validations) - 1
    count = valley.count + valley.steps[i]
    mean = _mixed(valley.mean, valley.segments, i, valley.steps[i] / count)
    return valley._replace(mean=mean, count=count, taken=jnp.int32(validation))


@jax.jit
def _pushed(segments: chex.ArrayTree, segment: chex.ArrayTree) -> chex.ArrayTree:
    return jax.tree.map(lambda leaf, new: jnp.concatenate([leaf[1:], new[None]]), segments, segment)


@jax.jit
def _mixed(mean: chex.ArrayTree, segments: chex.ArrayTree, i: chex.Numeric, share: chex.Numeric) -> chex.ArrayTree:
    return optax.incremental_update(jax.tree.map(lambda leaf: leaf[i], segments), mean, share)
