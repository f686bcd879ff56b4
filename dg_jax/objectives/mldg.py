"""MLDG: a step on one domain must also help another (paper, section 3.3)."""

import functools
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss
from dg_jax.surgery import _value_and_grads

_ADAM_EPS = 1e-8  # the default of PyTorch's Adam and of Optax's


def mldg(
    apply_fn: loss.ApplyFn,
    learning_rate: chex.Numeric,
    weight_decay: chex.Numeric,
    beta: float = 1.0,
    second_order: bool = False,
    pairing: Literal["split", "circle"] = "split",
    form: surgery.Form = "stacked",
) -> loss.Objective:
    """The loss of each meta-train domain plus that of a meta-test domain after a step on the first.

    Each step puts the N domains in a random order and forms M pairs of a meta-train domain i
    and a meta-test domain j. For each pair an inner step of a fresh Adam with L2 leads from the
    parameters p to p_i, and the row is

        M/N · (∇L_i(p) + β · ∇L_j(p_i)).

    With ``pairing="split"`` the last domain is the meta-test domain of all others: M = N - 1 pairs, as in DomainBed's
    ``MLDG`` with ``n_meta_test`` = 1. DomainBed divides their sum by N, not by their number. The factor M/N does the
    same: with it the combiner ``deep_all``, the mean of the rows, is exactly the released update. With
    ``pairing="circle"`` each domain is paired with the next in a random circle: M = N pairs, as in DomainBed until
    April 2022, so also when the gradient-surgery paper was written. (In the paper of MLDG itself the meta-train domains
    share one inner step, of plain gradient descent.)

    Args:
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        learning_rate: of the inner step; in a run the same as the run's.
        weight_decay: L2 coefficient of the inner step; in a run the same as the run's.
        beta: β, weight of the meta-test loss, at least 0. DomainBed's ``mldg_beta``.
        second_order: whether ∇L_j(p_i) is taken with respect to p, through the inner step,
            and not with respect to p_i. Where a component of the inner gradient is exactly
            zero (a dead unit), the slope of Adam's step is 1/eps = 1e8: large, but
            finite.
        pairing: ``"split"`` or ``"circle"``.
        form: which form of Jacobian is returned, see :func:`dg_jax.surgery.value_and_grads`.

    Returns:
        An objective with M rows, in the order of their meta-train domains: losses
        ``[M]``, each L_i(p) + β · L_j(p_i) without the factor M/N, and gradients
        ``[M, *shape]``. Each loss has its own draw of dropout.

    Raises:
        ValueError: ``beta`` is negative, or there is no such ``pairing``; when called, there
            are fewer than two domains.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax.objectives.mldg import mldg
        >>> def apply_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1) @ params
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> objective = mldg(apply_fn, learning_rate=1e-3, weight_decay=0.0)
        >>> losses, stacked = objective(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((2,), (2, 2, 5))

    Reference:
        Li et al., "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI
        2018, algorithm 1 and eq. 3; pairs, inner Adam and scale as in DomainBed's ``MLDG``.
    """
    if beta < 0:
        raise ValueError(f"mldg: beta={beta}; it must not be negative")
    if pairing not in ("split", "circle"):
        raise ValueError(f"mldg: pairing={pairing!r}; it must be 'split' or 'circle'")

    def domain_loss(params: chex.ArrayTree, images: chex.Array, labels: chex.Array, key: chex.PRNGKey) -> chex.Array:
        return loss.cross_entropy(apply_fn(params, images, key=key, train=True), labels)

    def pair_loss(
        params: chex.ArrayTree, train: loss.DomainBatch, keys: chex.PRNGKey, test: loss.DomainBatch
    ) -> chex.Array:
        # To first order the step is a constant, so that the gradient with respect to params is that at the
        # inner parameters. XLA merges the two passes over the images of the meta-train domain into one.
        start = params if second_order else jax.lax.stop_gradient(params)
        gradient = jax.grad(domain_loss)(start, train["image"], train["label"], keys[0])
        inner = jax.tree.map(
            lambda p, s, g: p - learning_rate * _adam_direction(g + weight_decay * s), params, start, gradient
        )
        meta_test_loss = domain_loss(inner, test["image"], test["label"], keys[1])
        return domain_loss(params, train["image"], train["label"], keys[0]) + beta * meta_test_loss

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        del step
        n = len(domain_batch["label"])
        if n < 2:
            raise ValueError(f"mldg needs at least two source domains; got {n}")
        meta_train, meta_test, keys = draw(key, n, pairing)
        train, test = ({name: leaf[which] for name, leaf in domain_batch.items()} for which in (meta_train, meta_test))
        # The one meta-test domain of all pairs is not copied for each.
        of_pair, of_rows = (functools.partial(pair_loss, test=test), ()) if pairing == "split" else (pair_loss, (test,))
        scale = len(keys) / n
        if form == "stacked":
            # Each row has its own inner parameters, with which ``vmap`` would make slow grouped convolutions.
            losses, rows = _value_and_grads.unrolled(of_pair)(params, train, keys, *of_rows)
            return losses, jax.tree.map(lambda leaf: leaf * scale, rows)

        def scaled(*arguments: Any) -> tuple[chex.Array, chex.Array]:
            pair = of_pair(*arguments)
            return scale * pair, pair

        scaled_losses_and_jacobian = surgery.value_and_grads(scaled, form, has_aux=True)
        (_, losses), jacobian = scaled_losses_and_jacobian(params, train, keys, *of_rows)
        return losses, jacobian

    return objective


def draw(key: chex.PRNGKey, n: int, pairing: Literal["split", "circle"]) -> tuple[chex.Array, chex.Array, chex.PRNGKey]:
    """Draws what is random in a step on ``n`` domains.

    Returns:
        The meta-train domains in ascending order (int ``[M]``), their meta-test domain (int
        scalar, or with ``"circle"`` ``[M]``, one each), and for each pair the dropout keys of
        its two losses (``[M, 2]``).
    """
    order_key, dropout_key = jax.random.split(key)
    order = jax.random.permutation(order_key, n)
    if pairing == "circle":
        following = jnp.zeros_like(order).at[order].set(jnp.roll(order, -1))
        return jnp.arange(n), following, jax.random.split(dropout_key, (n, 2))
    return jnp.sort(order[:-1]), order[-1], jax.random.split(dropout_key, (n - 1, 2))


def _adam_direction(gradient: chex.Array) -> chex.Array:
    """The first step of a fresh Adam, divided by -learning_rate.

    After bias correction its moments are the gradient and its square. It is written out, without ``optax.adam``,
    because the derivative of the square root is infinite where the gradient is zero.
    """
    return gradient / (jnp.abs(gradient) + _ADAM_EPS)
