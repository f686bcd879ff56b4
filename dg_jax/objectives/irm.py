"""Invariant risk minimisation: one classifier that is best in every domain (paper, section 3.3)."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss


def irm(
    apply_fn: loss.ApplyFn,
    anneal_steps: int,
    penalty_weight: float = 100.0,
    form: surgery.Form = "stacked",
) -> loss.Objective:
    """The cross-entropy of each domain plus a penalty where scaling the logits would lower it.

    The penalty of a domain is an unbiased estimate of the squared gradient of its cross-entropy with respect to a
    factor on the logits, at factor 1: the product of that gradient on the even-numbered images and that on the
    odd-numbered ones.

    With the combiner ``deep_all`` (the mean of the rows) this is DomainBed's update. The
    training loop resets the optimizer's state at ``anneal_steps``, because the losses jump there.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        anneal_steps: number of first steps in which the weight is 1; at least 0. If the run has no more steps than
            that, the penalty never gets its full weight. DomainBed's ``irm_penalty_anneal_iters``.
        penalty_weight: weight of the penalty from step ``anneal_steps`` on; at least 0.
            DomainBed's ``irm_lambda``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with one row for each of the N source domains: losses ``[N]``
        (penalty included) and gradients ``[N, *shape]``. Its ``step`` counts from 0
        and may be traced. Each domain has its own draw of dropout.

    Raises:
        ValueError: ``penalty_weight`` or ``anneal_steps`` is negative; when called, the
            domain batch has fewer than two images of each domain.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax.objectives.irm import irm
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = irm(apply_fn, anneal_steps=150)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((3,), (3, 2, 5))

    Reference:
        Arjovsky et al., "Invariant Risk Minimization", 2019, eq. IRMv1 and appendix D;
        weights, annealing and halves as in DomainBed's ``IRM``.
    """
    if penalty_weight < 0:
        raise ValueError(f"irm: penalty_weight={penalty_weight}; it must not be negative")
    if anneal_steps < 0:
        raise ValueError(f"irm: anneal_steps={anneal_steps}; it must not be negative")

    def domain_loss(
        params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey, weight: chex.Array
    ) -> chex.Array:
        logits = apply_fn(params, images, key=key, train=True)
        penalty = _scale_gradient(logits[::2], labels[::2]) * _scale_gradient(logits[1::2], labels[1::2])
        return loss.cross_entropy(logits, labels) + weight * penalty

    losses_and_jacobian = surgery.value_and_grads(domain_loss, form)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        n, batch_size = domain_batch["label"].shape
        if batch_size < 2:
            raise ValueError(f"irm needs at least 2 images per domain, one for each half; got {batch_size}")
        weights = jnp.full(n, jnp.where(step < anneal_steps, 1.0, penalty_weight))
        keys = jax.random.split(key, n)
        return losses_and_jacobian(params, domain_batch["image"], domain_batch["label"], keys, weights)

    return objective


def _scale_gradient(logits: chex.Array, labels: chex.Array) -> chex.Array:
    """The derivative of the cross-entropy with respect to a factor on the logits, at 1."""

    def scaled(scale: chex.Numeric) -> chex.Array:
        return loss.cross_entropy(scale * logits, labels)

    return jax.grad(scaled)(1.0)
