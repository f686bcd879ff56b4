"""What the rules on the Gramian share: cosines and norms, the log, the weighted sum. A rule only computes weights."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import _combiner, _jacobian
from dg_jax.surgery._jacobian import Jacobian

# ``weigh(cosines [N, N], norms [N]) -> weights [N]``, on norms of at most 1.
Weigh = Callable[[jax.Array, jax.Array], jax.Array]


class GramianState(NamedTuple):
    """What the last update saw and did, scalars. A zero gradient has cosine 0 with any other.

    Attributes:
        weight_min: the smallest weight; 1 before the first update.
        weight_max: the largest weight; 1 before the first update.
        row_norm: mean of the norms of the N gradients; 0 before the first update.
        norm: norm of the result; 0 before the first update.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines; 1 for N = 1 and before the first update.
        cosine_min: the smallest of them, as ``cosine_mean``.
        conflicting: share of the pairs with a negative cosine.
        descent: the smallest cosine between a gradient and the result; below 0 the step makes some loss worse.
    """

    weight_min: jax.Array
    weight_max: jax.Array
    row_norm: jax.Array
    norm: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array
    descent: jax.Array


def combiner(name: str, weigh: Weigh, degree: Any = 0) -> optax.GradientTransformationExtraArgs:
    """Makes a combiner from a function that computes weights from the Gramian.

    Args:
        name: its name in errors.
        weigh: computes weights from cosines and relative norms. A zero gradient has norm and cosines 0; its weight does
            not matter.
        degree: for gradients k times as long the weights are k^degree times as large.
    """

    def init(params: Any) -> GramianState:
        one = jnp.ones([], _jacobian.widest(params))
        zero = jnp.zeros_like(one)
        return GramianState(one, one, zero, zero, one, one, zero, one)

    @jax.jit  # so that a call outside of jit does not trace a solver each time
    def weights_and_state(cosines: jax.Array, norms: jax.Array) -> tuple[jax.Array, GramianState]:
        scale = jax.lax.stop_gradient(jnp.where(jnp.max(norms) > 0, jnp.max(norms), 1))
        weights = weigh(cosines, norms / scale) * scale**degree
        is_whole = jnp.all(jnp.isfinite(cosines)) & jnp.all(jnp.isfinite(norms))
        weights = jnp.where(is_whole, weights, jnp.nan)  # a NaN must be seen, even if a solver hides it
        return weights, _state(cosines, norms, weights)

    def rule(jacobian: Jacobian, state: GramianState, losses: Any) -> tuple[optax.Updates, GramianState]:
        weights, new_state = weights_and_state(*_jacobian.cosines_and_norms(jacobian))
        return _jacobian.weighted_sum(jacobian, weights), new_state

    return _combiner.combiner(name, init, rule, ("stacked", "two_pass"))


def _state(cosines: jax.Array, norms: jax.Array, weights: jax.Array) -> GramianState:
    parts = weights * norms  # the result as a combination of unit gradients
    scale = jnp.max(jnp.abs(parts))
    parts = parts / jnp.where(scale > 0, scale, 1)  # so that its square is in range
    inner = cosines @ parts
    length = jnp.sqrt(jnp.maximum(parts @ inner, 0))
    descent = jnp.min(jnp.where(norms > 0, inner, jnp.inf)) / jnp.where(length > 0, length, 1)
    return GramianState(
        jnp.min(weights),
        jnp.max(weights),
        jnp.mean(norms),
        scale * length,
        *summary(cosines),
        jnp.where(jnp.any(norms > 0), jnp.clip(descent, -1, 1), 0),
    )


def summary(cosines: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean, minimum and negative share of the cosines of all pairs."""
    n = len(cosines)
    if n == 1:
        one = jnp.ones([], cosines.dtype)
        return one, one, jnp.zeros_like(one)
    pairs = jnp.clip(cosines[jnp.triu_indices(n, k=1)], -1, 1)
    return jnp.mean(pairs), jnp.min(pairs), jnp.mean((pairs < 0).astype(cosines.dtype))


def preference_of(name: str, preference: Any, cosines: jax.Array) -> jax.Array:
    """Returns a preference as weights ``[N]``, 1/N each where there is none; raises where it has another length."""
    n = len(cosines)
    if preference is None:
        return jnp.full(n, 1 / n, cosines.dtype)
    weights = jnp.asarray(preference, cosines.dtype)
    if weights.shape != (n,):
        raise ValueError(f"{name}: preference has shape {weights.shape}, but the gradients have {n} rows")
    return weights


def check_preference(name: str, preference: Any) -> None:
    """Raises a ``ValueError`` for a preference that is not a list of numbers of at least 0; traced ones pass."""
    if preference is None or isinstance(preference, jax.core.Tracer):
        return
    values = np.asarray(preference)
    if (
        values.ndim != 1
        or not np.issubdtype(values.dtype, np.number)
        or not (np.isfinite(values) & (values >= 0)).all()
    ):
        raise ValueError(f"{name}: preference={preference}; it must be N numbers of at least 0")


def check_above_zero(name: str, **settings: Any) -> None:
    """Raises a ``ValueError`` for a setting that is not above 0; arrays, which may be traced, pass."""
    for setting, value in settings.items():
        if isinstance(value, int | float) and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}: {setting}={value}; it must be a number above 0")


def safe_reciprocal(norms: jax.Array) -> jax.Array:
    """Returns 1 / norm, and 0 for a zero gradient."""
    return jnp.where(norms > 0, 1 / jnp.where(norms > 0, norms, 1), 0)


def unit_diagonal(cosines: jax.Array) -> jax.Array:
    """Returns the cosines with ones on the diagonal, so that a zero gradient does not make a system singular."""
    return jnp.where(jnp.eye(len(cosines), dtype=bool), 1, cosines)
