"""Empirical risk of each domain by itself (paper, section 3.1)."""

from typing import Any

import chex
import jax

from dg_jax import surgery
from dg_jax.objectives import loss


def erm(apply_fn: loss.ApplyFn, form: surgery.Form = "stacked") -> loss.Objective:
    """The cross-entropy of each domain: row i is ∇L_i, what the paper calls g(i).

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with one row for each of the N source domains. Each
        domain has its own draw of dropout.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import objectives
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = objectives.erm(apply_fn)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((3,), (3, 2, 5))

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021,
        section 3.1.
    """

    def domain_loss(params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey) -> chex.Array:
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    losses_and_jacobian = surgery.value_and_grads(domain_loss, form)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        del step
        keys = jax.random.split(key, len(domain_batch["label"]))
        return losses_and_jacobian(params, domain_batch["image"], domain_batch["label"], keys)

    return objective
