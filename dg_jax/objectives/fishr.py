"""Fishr: the gradients of all domains should have the same variance."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss
from dg_jax.objectives.matched import HeadFn


def fishr(
    features_fn: loss.ApplyFn,
    head_fn: HeadFn,
    anneal_steps: int,
    penalty_weight: float = 1000.0,
    ema: float = 0.95,
    form: surgery.Form = "stacked",
) -> loss.Stateful:
    r"""The cross-entropy of each domain plus the squared distance of its gradients' variances to the mean of all.

    .. math:: \ell_i = L_i + w\, \overline{(v_i - \bar v)^2}, \qquad \bar v = \frac1N \sum_k v_k, \qquad
        v_i = \frac{m_i}{1 - \gamma}, \quad m_i \leftarrow \gamma m_i + (1 - \gamma) \operatorname{Var}_b(g_{ib})

    Here :math:`g_{ib}` is the gradient of image b's cross-entropy with respect to the last layer, and the long bar is a
    mean over that layer's weights and biases. The mean of the domains is held constant in each row. The distances to it
    sum to 0, so the mean of the rows is still the gradient of the mean of the losses. So with the combiner ``deep_all``
    this is DomainBed's update. The training loop resets the optimizer's state at ``anneal_steps``, because the losses
    jump there.

    Args:
        features_fn: ``features_fn(params, images, *, key, train) -> [B, D]``.
        head_fn: ``head_fn(params, features) -> logits [B, C]``. It must be a dense layer with a bias, as the gradients
            are computed by the formula for one. The networks of :mod:`dg_jax.models` have both functions, as
            ``apply_fn.features`` and ``apply_fn.head``.
        anneal_steps: number of first steps without the penalty; at least 0. The variances are averaged from the first
            step on. DomainBed's ``penalty_anneal_iters``.
        penalty_weight: w from step ``anneal_steps`` on; at least 0. DomainBed's ``lambda``.
        ema: γ, at least 0 and below 1. As v is divided by 1 - γ, it grows with γ (DomainBed's choice, so that the
            gradient of a step's own variances does not depend on γ).
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        A :class:`dg_jax.objectives.Stateful` objective with one row for each of the N source domains: losses ``[N]``
        (penalty included) and gradients ``[N, *shape]``. Its state is the means m, ``[N, D + 1, C]``, the biases last.
        Each domain has its own draw of dropout.

    Raises:
        ValueError: ``penalty_weight`` or ``anneal_steps`` is negative, or ``ema`` out of its range; when called, a
            domain has fewer than two images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import objectives
        >>> def features_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1)
        >>> def head_fn(params, features):
        ...     return features @ params["kernel"] + params["bias"]
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> params = {"kernel": jnp.zeros((2, 5)), "bias": jnp.zeros(5)}
        >>> objective = objectives.fishr(features_fn, head_fn, anneal_steps=150)
        >>> state = objective.init(params, batch)
        >>> losses, stacked, state = objective.update(params, batch, state, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked["kernel"].shape, state.shape
        ((3,), (3, 2, 5), (3, 3, 5))

    Reference:
        Rame, Dancette and Cord, "Fishr: Invariant Gradient Variances for Out-of-Distribution Generalization", ICML
        2022, eq. 4; weights, means and annealing as in DomainBed's ``Fishr``.
    """
    if penalty_weight < 0:
        raise ValueError(f"fishr: penalty_weight={penalty_weight}; it must not be negative")
    if anneal_steps < 0:
        raise ValueError(f"fishr: anneal_steps={anneal_steps}; it must not be negative")
    if not 0 <= ema < 1:
        raise ValueError(f"fishr: ema={ema}; it must be at least 0 and below 1")

    def risk_and_variances(
        params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey
    ) -> tuple[chex.Array, chex.Array]:
        features = features_fn(params, images, key=key, train=True)
        logits = head_fn(params, features)
        with_one = jnp.pad(features, [(0, 0), (0, 1)], constant_values=1)  # a bias is the weight of a constant
        errors = jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1])
        each = with_one[:, :, None] * errors[:, None, :]
        return loss.cross_entropy(logits, labels), jnp.var(each, axis=0)

    of_domains = jax.vmap(risk_and_variances, in_axes=(None, 0, 0, 0))

    def init(params: chex.ArrayTree, domain_batch: loss.DomainBatch) -> chex.Array:
        keys = jax.random.split(jax.random.key(0), domain_batch["label"].shape[0])
        _, variances = jax.eval_shape(of_domains, params, domain_batch["image"], domain_batch["label"], keys)
        return jnp.zeros(variances.shape, variances.dtype)

    def update(
        params: chex.ArrayTree,
        domain_batch: loss.DomainBatch,
        state: chex.Array,
        *,
        key: chex.PRNGKey,
        step: chex.Numeric,
    ) -> tuple[chex.Array, Any, chex.Array]:
        images, labels = domain_batch["image"], domain_batch["label"]
        n, batch_size = labels.shape
        if batch_size < 2:
            raise ValueError(f"fishr needs at least 2 images per domain, for a variance; got {batch_size}")
        keys = jax.random.split(key, n)
        _, variances = of_domains(params, images, labels, keys)
        before = ema / (1 - ema) * state
        mean = jnp.mean(before + variances, axis=0)
        weight = jnp.where(step < anneal_steps, 0.0, penalty_weight)

        def domain_loss(
            params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey, before: chex.Array
        ) -> chex.Array:
            risk, own = risk_and_variances(params, images, labels, key)
            return risk + weight * jnp.mean((before + own - mean) ** 2)

        losses, jacobian = surgery.value_and_grads(domain_loss, form)(params, images, labels, keys, before)
        return losses, jacobian, ema * state + (1 - ema) * variances

    return loss.Stateful(init, update)
