"""The random keys of a run, all made from its seed."""

import enum

import chex
import jax


class Purpose(enum.IntEnum):
    """What a random key is for. The numbers must not change: every result depends on them."""

    WEIGHTS = 0
    SAMPLING = 1
    OBJECTIVE = 2
    COMBINER = 3


def key_for(seed: chex.Numeric, purpose: Purpose) -> chex.PRNGKey:
    """Returns the run's key for one purpose."""
    return jax.random.fold_in(jax.random.key(seed), purpose)
