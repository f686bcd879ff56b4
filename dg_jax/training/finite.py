"""Ends a run when a number is not finite, with an error that names the step and the domain."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import errors
from dg_jax.training import step


def check_losses(
    losses: np.ndarray, number: int, sources: Sequence[str], seed: int | None = None, what: str = "loss"
) -> None:
    """Raises a ``RunError`` that names step, domain and seed of a loss that is not finite.

    Args:
        losses: ``[N]``.
        number: the step.
        sources: names of the domains trained on.
        seed: the seed, where several runs are trained side by side.
        what: what the losses are called.
    """
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        # An objective without one row for each source mixes the sources.
        is_by_domain = len(losses) == len(sources)
        names = [sources[i] for i in broken.tolist()] if is_by_domain else sources
        of_seed = "" if seed is None else f" of seed {seed}"
        raise errors.RunError(
            f"the {what}{of_seed} of {', '.join(names)} is {losses[broken[0]]} at step {number}; "
            "what was written before stays; try a smaller --learning-rate"
        )


def check_state(state: step.TrainState, number: int, *, of_seeds: bool = False) -> None:
    """Raises a ``RunError`` that names the step if a parameter or a number of the optimizer's state is not finite.

    The loss shows this one step later. It never shows squares in Adam's state beyond float32: these stop the
    parameters from changing.
    """
    if not _is_finite(state):
        raise errors.RunError(
            f"the parameters{' of a seed' if of_seeds else ''} or the optimizer's state are not finite after step "
            f"{number}, as its gradients were NaN, infinite or too large; what was written before stays; "
            "try a smaller --learning-rate"
        )


@jax.jit
def _is_finite(tree: chex.ArrayTree) -> chex.Array:
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in numbers]))
