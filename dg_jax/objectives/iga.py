"""IGA: the gradients of all domains should be equal."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss


def iga(apply_fn: loss.ApplyFn, penalty_weight: float = 1000.0, form: surgery.Form = "stacked") -> loss.Objective:
    r"""The cross-entropy of each domain plus the squared distance of its gradient to the mean of all.

    .. math:: \ell_i = L_i + N w\, \| \nabla L_i - \bar g \|^2, \qquad \bar g = \frac1N \sum_k \nabla L_k

    The mean gradient is held constant in each row. The distances to it sum to 0, so the mean of the rows is still the
    gradient of the mean loss plus w times the sum of the squared distances. So with the combiner ``deep_all`` this is
    DomainBed's update. It takes second derivatives: three backward passes instead of one.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        penalty_weight: w, at least 0. DomainBed's ``penalty``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with one row for each of the N source domains: losses ``[N]`` (penalty included) and gradients
        ``[N, *shape]``. Each domain has its own draw of dropout.

    Raises:
        ValueError: ``penalty_weight`` is negative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax.objectives.iga import iga
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = iga(apply_fn)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((3,), (3, 2, 5))

    Reference:
        Koyama and Yamaguchi, "When is invariance useful in an Out-of-Distribution Generalization problem?", 2020; the
        penalty as in DomainBed's ``IGA``.
    """
    if penalty_weight < 0:
        raise ValueError(f"iga: penalty_weight={penalty_weight}; it must not be negative")

    def risk(params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey) -> chex.Array:
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        del step
        images, labels = domain_batch["image"], domain_batch["label"]
        n = len(labels)
        keys = jax.random.split(key, n)

        def mean_risk(params: chex.ArrayTree) -> chex.Array:
            return jnp.mean(jax.vmap(risk, in_axes=(None, 0, 0, 0))(params, images, labels, keys))

        mean_gradient = jax.grad(mean_risk)(params)

        def domain_loss(
            params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey
        ) -> chex.Array:
            own, gradient = jax.value_and_grad(risk)(params, images, labels, key)
            squares = jax.tree.map(lambda one, mean: jnp.sum((one - mean) ** 2), gradient, mean_gradient)
            return own + n * penalty_weight * sum(jax.tree.leaves(squares))

        return surgery.value_and_grads(domain_loss, form)(params, images, labels, keys)

    return objective
