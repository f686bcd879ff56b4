"""GradVac: gradients are turned towards each other, up to the cosines that they usually have."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _gramian, _jacobian, _projections
from dg_jax.surgery._jacobian import Jacobian

_MOST = 0.999


class GradVacState(NamedTuple):
    """The random key, the cosines aimed at, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws its orders.
        targets: moving averages of the cosines, ``[N, N]``; 0 before the first update, without ``num_rows`` a scalar.
        cosine_mean: mean of the N(N-1)/2 pairwise cosines, scalar; 1 for N = 1 and before the first update. A zero
            gradient has cosine 0 with any other.
        cosine_min: the smallest of them, as ``cosine_mean``.
        conflicting: share of the pairs with a negative cosine, scalar.
    """

    key: jax.Array
    targets: jax.Array
    cosine_mean: jax.Array
    cosine_min: jax.Array
    conflicting: jax.Array


def grad_vac(
    beta: float | jax.Array = 0.5, key: int | jax.Array = 0, num_rows: int | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Turns each gradient towards the others where its cosine is below the usual one, then sums.

    Gradient i is compared with all other *original* gradients j, in a random order of its own. With their cosine φ and
    its target :math:`\hat\phi_{ij}`:

    .. math:: g^{(i)} \leftarrow g^{(i)} + \frac{\|g^{(i)}\| \big( \hat\phi_{ij} \sqrt{1 - \phi^2} - \phi
        \sqrt{1 - \hat\phi_{ij}^2} \big)}{\|g^{(j)}\| \sqrt{1 - \hat\phi_{ij}^2}}\, g^{(j)}
        \quad \text{if } \phi < \hat\phi_{ij}, \qquad
        \hat\phi_{ij} \leftarrow (1 - \beta) \hat\phi_{ij} + \beta \phi

    The result is :math:`g^* = \sum_i g^{(i)}`. The first update is that of PCGrad; with β = 0 every update is.

    Args:
        beta: β in [0, 1], how fast the targets follow the cosines. May be traced.
        key: an integer seed or a key of ``jax.random.key``, the first key of the state; may be traced.
        num_rows: N. With it the state has its shape from the start, which ``scan`` needs. Under
            ``optax.inject_hyperparams`` it belongs in ``static_args``.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GradVacState`, whose key advances.

    Raises:
        ValueError: ``beta`` is not in [0, 1], ``key`` is neither an integer nor a key, or ``num_rows`` is not an
            integer of at least 1; in ``update``, N is not the same as before, or the gradients do not fit the
            parameters or each other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the sum. N = 1 gives back the one gradient. No gradient is turned towards a zero
        gradient. A target counts as at most 0.999, because beyond that the turn would have no limit. A NaN or an
        infinity in any row reaches the result (for N > 1 all of it) and the targets. Stacked gradients may have any
        norm, as in :func:`pcgrad`. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so that their
        squares are in range.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.grad_vac(beta=0.5, num_rows=2)
        >>> state = combiner.init(jnp.zeros(2))
        >>> for rows in (jnp.array([[1.0, 0.0], [0.8, 0.6]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])):
        ...     gradient, state = combiner.update(rows, state)
        >>> print((gradient > 1.4).tolist())  # the cosine was 0.8, so 0.4 is aimed at; the sum is 1 and 1
        [True, True]

    References:
        Wang et al., `Gradient Vaccine <https://arxiv.org/abs/2010.05874>`_, ICLR 2021, algorithm 1, with one group of
        all parameters.
    """
    if isinstance(beta, int | float) and not 0 <= beta <= 1:
        raise ValueError(f"grad_vac: beta={beta}; it must be a number from 0 to 1")
    if num_rows is not None:
        _combiner.check_integers("grad_vac", 1, num_rows=num_rows)

    def init(params: Any) -> GradVacState:
        one = jnp.ones([], _jacobian.widest(params))
        targets = jnp.zeros([] if num_rows is None else (num_rows, num_rows), one.dtype)
        return GradVacState(_combiner.random_key(key), targets, one, one, jnp.zeros_like(one))

    def rule(jacobian: Jacobian, state: GradVacState, losses: Any) -> tuple[optax.Updates, GradVacState]:
        cosines, norms = _jacobian.cosines_and_norms(jacobian)
        if state.targets.shape not in [(), cosines.shape]:
            raise ValueError(f"grad_vac: the state is for {len(state.targets)} rows, the gradients have {len(norms)}")
        next_key, order_key = jax.random.split(state.key)
        before = jnp.broadcast_to(state.targets, cosines.shape).astype(cosines.dtype)
        orders = _projections.random_orders(order_key, len(norms))
        combinations, targets = _turn(cosines, orders, before, jnp.asarray(beta, cosines.dtype))
        weights = _projections.weights_of_sum(combinations, norms)
        new_state = GradVacState(next_key, targets, *_gramian.summary(cosines))
        return _jacobian.weighted_sum(jacobian, weights), new_state

    return _combiner.combiner("grad_vac", init, rule, ("stacked", "two_pass"))


def _turn(cosines: jax.Array, orders: jax.Array, targets: jax.Array, beta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the turned gradients, row i as a combination of the unit gradients, and the new targets."""
    n = len(cosines)
    i = jnp.arange(n)

    def meet(step: jax.Array, before: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        combinations, targets = before
        j = orders[:, step]
        inner = jnp.sum(combinations * cosines[j], axis=1)
        square = jnp.sum((combinations @ cosines) * combinations, axis=1)
        length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        phi = inner / jnp.where(length > 0, length, 1)
        target = targets[i, j]
        wanted = jnp.clip(target, -_MOST, _MOST)
        ratio = wanted / jnp.sqrt(1 - wanted**2)
        off = 1 - phi**2
        sine = jnp.where(off > 0, jnp.sqrt(jnp.where(off > 0, off, 1)), 0)
        turn = length * (ratio * sine - phi)
        turn = jnp.where((j == i) | (phi >= target) | (cosines[j, j] == 0), 0, turn)  # a NaN stays
        moved = jnp.where(j == i, target, (1 - beta) * target + beta * jnp.clip(phi, -1, 1))
        return combinations.at[i, j].add(turn), targets.at[i, j].set(moved)

    start = _projections.unprojected(cosines), targets + 0 * cosines  # varies over devices where the cosines do
    turned: tuple[jax.Array, jax.Array] = jax.lax.fori_loop(0, n, meet, start)
    return turned
