"""Inter-domain mixup: blends of the images of two domains (paper, section 3.3)."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss


def mixup(apply_fn: loss.ApplyFn, alpha: float = 0.2, form: surgery.Form = "stacked") -> loss.Objective:
    """The cross-entropy on images of each domain, blended with those of another.

    The domains are put in a random circle, and each is paired with the next. Each pair draws λ ~ Beta(α, α). Image b of
    the pair is λ times image b of the first domain plus 1 - λ times image b of the second. Its loss is λ times the
    cross-entropy against the first label plus 1 - λ times that against the second.

    With the combiner ``deep_all`` (the mean of the rows) this is DomainBed's update.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        alpha: α, above 0; the smaller it is, the closer λ comes to 0 or 1. DomainBed's ``mixup_alpha``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with one row for each of the N source domains: losses ``[N]`` and
        gradients ``[N, *shape]``. Row i is the pair whose first domain is i. A single
        domain is paired with itself. Each pair has its own draw of dropout.

    Raises:
        ValueError: ``alpha`` is not above 0.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax.objectives.mixup import mixup
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = mixup(apply_fn)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((3,), (3, 2, 5))

    Reference:
        Yan et al., "Improve Unsupervised Domain Adaptation with Mixup Training", 2020,
        eq. 3; pairs and λ as in DomainBed's ``Mixup``.
    """
    if not alpha > 0:
        raise ValueError(f"mixup: alpha={alpha}; it must be above 0")

    def pair_loss(
        params: chex.ArrayTree,
        images: chex.Array,
        other_images: chex.Array,
        labels: chex.Array,
        other_labels: chex.Array,
        lam: chex.Array,
        key: chex.PRNGKey,
    ) -> chex.Array:
        blend = (lam * images + (1 - lam) * other_images).astype(images.dtype)
        logits = apply_fn(params, blend, key=key, train=True)
        return lam * loss.cross_entropy(logits, labels) + (1 - lam) * loss.cross_entropy(logits, other_labels)

    losses_and_jacobian = surgery.value_and_grads(pair_loss, form)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        del step
        images, labels = domain_batch["image"], domain_batch["label"]
        second, lams, keys = draw(key, len(labels), alpha)
        return losses_and_jacobian(params, images, images[second], labels, labels[second], lams, keys)

    return objective


def draw(key: chex.PRNGKey, n: int, alpha: float) -> tuple[chex.Array, chex.Array, chex.PRNGKey]:
    """Draws what is random in a step on ``n`` domains.

    Returns:
        For each first domain, its second domain (int ``[n]``), λ (float32 ``[n]``) and the key
        for dropout (``[n]``).
    """
    circle_key, lam_key, dropout_key = jax.random.split(key, 3)
    circle = jax.random.permutation(circle_key, n)
    second = jnp.zeros_like(circle).at[circle].set(jnp.roll(circle, -1))
    return second, jax.random.beta(lam_key, alpha, alpha, (n,), jnp.float32), jax.random.split(dropout_key, n)
