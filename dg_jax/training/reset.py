"""Resets the state of an optimizer in the middle of a run."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax


class ResetAtState(NamedTuple):
    """Number of updates so far (int32 scalar), and the state of the inner transformation."""

    count: chex.Array
    inner: optax.OptState


def reset_at(inner: optax.GradientTransformation, step: int) -> optax.GradientTransformationExtraArgs:
    """Gives ``inner`` its initial state back before the update number ``step``, counted from 0.

    DomainBed does so with Adam when IRM's full penalty starts, because the moments of the gradients before this jump
    say nothing about those after it.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params):
        return ResetAtState(jnp.zeros([], jnp.int32), inner.init(params))

    def update(updates, state, params=None, **extra):
        fresh = jax.lax.cond(state.count == step, lambda: inner.init(params), lambda: state.inner)
        updates, inner_state = inner.update(updates, fresh, params, **extra)
        return updates, ResetAtState(state.count + 1, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)
