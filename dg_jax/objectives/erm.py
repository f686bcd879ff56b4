"""Empirical risk of each domain by itself (paper, section 3.1)."""

import jax

from dg_jax import gradients
from dg_jax.objectives import loss


def erm(apply_fn, accumulate_domains: bool = False) -> loss.Objective:
    """The cross-entropy of each domain: row i is ∇L_i, what the paper calls g(i).

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        accumulate_domains: whether to return the gradients as
            :func:`dg_jax.surgery.accumulate` does, in memory that does not grow with N.

    Returns:
        An objective with one row for each of the N source domains. Dropout is drawn
        anew for each domain.

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

    over_domains = gradients.accumulated_value_and_grad if accumulate_domains else gradients.stacked_value_and_grad

    def domain_loss(params, images, labels, key):
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    def objective(params, domain_batch, *, key, step):
        del step
        keys = jax.random.split(key, len(domain_batch["label"]))
        return over_domains(domain_loss)(params, domain_batch["image"], domain_batch["label"], keys)

    return objective
