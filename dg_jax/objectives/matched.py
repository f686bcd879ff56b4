"""CORAL and MMD: the features of all domains should have the same distribution."""

import itertools
from collections.abc import Callable
from typing import Any, Protocol

import chex
import jax.numpy as jnp

from dg_jax import surgery
from dg_jax.objectives import loss

_KERNEL_RATES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)


class HeadFn(Protocol):
    """The last layer of a network."""

    def __call__(self, params: chex.ArrayTree, features: chex.Array) -> chex.Array:
        """Returns logits ``[B, classes]`` of features ``[B, D]``."""
        ...


def coral(features_fn: loss.ApplyFn, head_fn: HeadFn, penalty_weight: float = 1.0) -> loss.Objective:
    r"""The mean of the domains' cross-entropies plus the distances between the means and covariances of their features.

    .. math:: \ell = \frac1N \sum_i L_i + \frac{2 w}{N (N-1)} \sum_{i<k} \big( \overline{(\mu_i - \mu_k)^2} +
        \overline{(C_i - C_k)^2} \big)

    The bars are means over entries. There is only one gradient, so the objective goes with the combiner ``deep_all``
    only.

    Args:
        features_fn: ``features_fn(params, images, *, key, train) -> [B, D]``.
        head_fn: ``head_fn(params, features) -> logits``. The networks of :mod:`dg_jax.models` have both, as
            ``apply_fn.features`` and ``apply_fn.head``.
        penalty_weight: w, at least 0. DomainBed's ``mmd_gamma``.

    Returns:
        An objective with a single row: losses ``[1]`` (penalty included) and gradients ``[1, *shape]``. Without a
        second domain the penalty is 0.

    Raises:
        ValueError: ``penalty_weight`` is negative; when called, a domain has fewer than two images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import objectives
        >>> def features_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1)
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> objective = objectives.coral(features_fn, lambda params, features: features @ params)
        >>> losses, stacked = objective(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((1,), (1, 2, 5))

    Reference:
        Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", 2016; the penalty as in
        DomainBed's ``CORAL``, which has the means and the covariances.
    """
    return _matched("coral", features_fn, head_fn, penalty_weight, _moments)


def mmd(features_fn: loss.ApplyFn, head_fn: HeadFn, penalty_weight: float = 1.0) -> loss.Objective:
    r"""The mean of the domains' cross-entropies plus the maximum mean discrepancies of their features.

    .. math:: \ell = \frac1N \sum_i L_i + \frac{2 w}{N (N-1)} \sum_{i<k} \big( \overline{K_{ii}} + \overline{K_{kk}} -
        2 \overline{K_{ik}} \big), \qquad K(x, y) = \sum_\gamma e^{-\gamma \|x - y\|^2}

    with γ from 0.001 to 1000 in powers of ten.

    Args:
        features_fn: as for :func:`coral`.
        head_fn: as for :func:`coral`.
        penalty_weight: w, at least 0. DomainBed's ``mmd_gamma``.

    Returns:
        An objective with a single row, as :func:`coral`.

    Raises:
        ValueError: ``penalty_weight`` is negative; when called, a domain has fewer than two images.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import objectives
        >>> def features_fn(params, images, *, key, train):
        ...     return images.reshape(len(images), -1)
        >>> batch = {"image": jnp.ones((3, 4, 1, 1, 2)), "label": jnp.zeros((3, 4), int)}
        >>> objective = objectives.mmd(features_fn, lambda params, features: features @ params)
        >>> losses, stacked = objective(jnp.zeros((2, 5)), batch, key=jax.random.key(0), step=0)
        >>> losses.shape, stacked.shape
        ((1,), (1, 2, 5))

    Reference:
        Li et al., "Domain Generalization with Adversarial Feature Learning", CVPR 2018; the penalty, without the
        adversary, as in DomainBed's ``MMD``.
    """
    return _matched("mmd", features_fn, head_fn, penalty_weight, _discrepancy)


def _matched(
    name: str,
    features_fn: loss.ApplyFn,
    head_fn: HeadFn,
    penalty_weight: float,
    distance: Callable[[chex.Array, chex.Array], chex.Array],
) -> loss.Objective:
    if penalty_weight < 0:
        raise ValueError(f"{name}: penalty_weight={penalty_weight}; it must not be negative")

    def all_losses(params: chex.ArrayTree, domain_batch: loss.DomainBatch, key: chex.PRNGKey) -> chex.Array:
        labels = domain_batch["label"]
        n, batch_size = labels.shape
        if batch_size < 2:
            raise ValueError(f"{name} needs at least 2 images per domain; got {batch_size}")
        features = features_fn(params, loss.in_one(domain_batch["image"]), key=key, train=True)
        risk = loss.cross_entropy(head_fn(params, features), loss.in_one(labels))
        by_domain = features.reshape(batch_size, n, -1).swapaxes(0, 1)
        distances = [distance(by_domain[i], by_domain[k]) for i, k in itertools.combinations(range(n), 2)]
        return (risk + penalty_weight * jnp.mean(jnp.stack(distances)) if distances else risk)[None]

    losses_and_jacobian = surgery.value_and_jacobian(all_losses)

    def objective(
        params: chex.ArrayTree, domain_batch: loss.DomainBatch, *, key: chex.PRNGKey, step: chex.Numeric
    ) -> tuple[chex.Array, Any]:
        del step
        return losses_and_jacobian(params, domain_batch, key)

    return objective


def _moments(x: chex.Array, y: chex.Array) -> chex.Array:
    def mean_and_covariance(features: chex.Array) -> tuple[chex.Array, chex.Array]:
        mean = jnp.mean(features, axis=0)
        centred = features - mean
        return mean, centred.T @ centred / (len(features) - 1)

    (mean_x, covariance_x), (mean_y, covariance_y) = mean_and_covariance(x), mean_and_covariance(y)
    return jnp.mean((mean_x - mean_y) ** 2) + jnp.mean((covariance_x - covariance_y) ** 2)


def _discrepancy(x: chex.Array, y: chex.Array) -> chex.Array:
    # An image has distance 0 from itself. A rounding error there would count at the highest rate.
    same = jnp.eye(len(x), dtype=bool)
    within = [jnp.mean(_kernel(jnp.where(same, 0, _squared_distances(own, own)))) for own in (x, y)]
    return within[0] + within[1] - 2 * jnp.mean(_kernel(_squared_distances(x, y)))


def _squared_distances(x: chex.Array, y: chex.Array) -> chex.Array:
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None, :] - 2 * x @ y.T
    return jnp.maximum(squares, 0)


def _kernel(squares: chex.Array) -> chex.Array:
    return sum(jnp.exp(-rate * squares) for rate in _KERNEL_RATES)
