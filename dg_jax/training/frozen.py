"""Layers that keep their weights: gradients, combiner and optimizer see the parameters of the others only."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import chex


def split(params: chex.ArrayTree, layers: Sequence[str]) -> tuple[chex.ArrayTree, dict[str, chex.ArrayTree]]:
    """Returns the parameters that are trained, and those of the frozen layers by layer.

    Args:
        params: a network's parameters; a dict by layer, if ``layers`` is not empty.
        layers: the names of the frozen layers.

    Example:
        >>> split({"conv1": 1.0, "dense": 2.0}, ["conv1"])
        ({'dense': 2.0}, {'conv1': 1.0})
    """
    if not layers:
        return params, {}
    return {name: params[name] for name in params if name not in layers}, {name: params[name] for name in layers}


def joined(params: chex.ArrayTree, frozen: dict[str, chex.ArrayTree]) -> chex.ArrayTree:
    """Returns the parameters of all layers; those that are in ``frozen`` are taken from it."""
    return {**params, **frozen} if frozen else params


def of_trained(apply_fn: Any, params: chex.ArrayTree, layers: Sequence[str]) -> tuple[chex.ArrayTree, Any]:
    """Returns the parameters that are trained, and the network as a function of them.

    The frozen parameters stay arguments of the caller's program. As constants in it, they would have to be compiled for
    each of their values.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``; a :class:`dg_jax.models.Pure`, if ``layers`` is
            not empty.
        params: all its parameters.
        layers: the names of the frozen layers.
    """
    trained, frozen = split(params, layers)
    if not frozen:
        return params, apply_fn

    def features_of(trained, constants, images, *, key, train):
        return apply_fn.features_of(joined(trained, frozen), constants, images, key=key, train=train)

    def logits_of(trained, constants, features):
        return apply_fn.logits_of(joined(trained, frozen), constants, features)

    return trained, dataclasses.replace(apply_fn, features_of=features_of, logits_of=logits_of)
