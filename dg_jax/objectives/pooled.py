"""All domains as one (paper, section 3.2: Deep-All)."""

from typing import Any

import chex
import jax

from dg_jax.objectives import loss
from dg_jax.objectives.erm import erm


def pooled(apply_fn: loss.ApplyFn) -> loss.Objective:
    """The cross-entropy of the N·B images together, in one pass.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.

    Returns:
        An objective with a single row: losses ``[1]`` and gradients ``[1, *shape]``. With
        equally large domain batches the row equals the mean of the rows of
        :func:`~dg_jax.objectives.erm` up to rounding.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import objectives
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = objectives.pooled(apply_fn)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((1,), (1, 2, 5))

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021,
        section 3.2.
    """
    single = erm(apply_fn)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        one_domain = jax.tree.map(lambda leaf: loss.in_one(leaf)[None], domain_batch)
        return single(params, one_domain, key=key, step=step)

    return objective
