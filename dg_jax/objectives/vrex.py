"""V-REx: the losses of all domains should be equal."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss


def vrex(
    apply_fn: loss.ApplyFn,
    anneal_steps: int,
    penalty_weight: float = 10.0,
    form: surgery.Form = "stacked",
) -> loss.Objective:
    r"""The cross-entropy of each domain plus the square of its distance to the mean of all.

    .. math:: \ell_i = L_i + w\, (L_i - \bar L)^2, \qquad \bar L = \frac1N \sum_k L_k

    The mean is held constant in each row. The distances to it sum to 0, so the mean of the rows is still the gradient
    of the mean plus w times the variance of the losses. So with the combiner ``deep_all`` this is DomainBed's update.
    The training loop resets the optimizer's state at ``anneal_steps``, because the losses jump there.

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        anneal_steps: number of first steps in which the weight is 1; at least 0. DomainBed's
            ``vrex_penalty_anneal_iters``.
        penalty_weight: w from step ``anneal_steps`` on; at least 0. DomainBed's ``vrex_lambda``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with one row for each of the N source domains: losses ``[N]`` (penalty included) and gradients
        ``[N, *shape]``. Its ``step`` counts from 0 and may be traced. Each domain has its own draw of dropout.

    Raises:
        ValueError: ``penalty_weight`` or ``anneal_steps`` is negative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax.objectives.vrex import vrex
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> losses, stacked = vrex(apply_fn, anneal_steps=150)(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((3,), (3, 2, 5))

    Reference:
        Krueger et al., "Out-of-Distribution Generalization via Risk Extrapolation", ICML 2021, eq. 8; weights and
        annealing as in DomainBed's ``VREx``.
    """
    if penalty_weight < 0:
        raise ValueError(f"vrex: penalty_weight={penalty_weight}; it must not be negative")
    if anneal_steps < 0:
        raise ValueError(f"vrex: anneal_steps={anneal_steps}; it must not be negative")

    def risk(params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey) -> chex.Array:
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    def domain_loss(
        params: chex.ArrayTree,
        images: chex.Array,
        labels: chex.Array,
        key: chex.PRNGKey,
        mean: chex.Array,
        weight: chex.Array,
    ) -> chex.Array:
        own = risk(params, images, labels, key)
        return own + weight * (own - mean) ** 2

    losses_and_jacobian = surgery.value_and_grads(domain_loss, form)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        images, labels = domain_batch["image"], domain_batch["label"]
        n = len(labels)
        keys = jax.random.split(key, n)
        mean = jnp.mean(jax.vmap(risk, in_axes=(None, 0, 0, 0))(params, images, labels, keys))
        weight = jnp.where(step < anneal_steps, 1.0, penalty_weight)
        return losses_and_jacobian(params, images, labels, keys, jnp.full(n, mean), jnp.full(n, weight))

    return objective
