"""Small problems on the N x N matrix of cosines, solved on the device.

The set of active constraints is searched for without a derivative; the solution on that set is one linear system, so
that it can be differentiated, batched and compiled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_PATIENCE = 3  # exchanges of whole blocks without progress, before single ones
_NEWTON_STEPS = 60
_HALVINGS = 30


def ridge(h: jax.Array) -> jax.Array:
    """Returns what is added to the diagonal of an N x N matrix of cosines, so that it is regular: 4 N eps."""
    return jnp.asarray(4 * len(h) * jnp.finfo(h.dtype).eps, h.dtype)


def solve_on(free: jax.Array, h: jax.Array, right: jax.Array, refinements: int = 3) -> jax.Array:
    """Solves h x = right on some unknowns, the others being 0.

    If the matrix on these unknowns is singular and the system has solutions, the result is the one of least norm, up to
    rounding.

    Args:
        free: which unknowns, booleans ``[N]``.
        h: positive semidefinite ``[N, N]``, with ones on the diagonal.
        right: ``[N]``.
        refinements: how often the error of the ridge is corrected; without the ridge a singular matrix has no factors.
    """
    both = free[:, None] & free[None, :]
    # Large enough that the rounding errors of a singular system stay small.
    delta = jnp.asarray(jnp.finfo(h.dtype).eps ** 0.75, h.dtype)
    regular = jnp.where(both, h, 0) + jnp.diag(jnp.where(free, delta, 1))
    factor = jax.scipy.linalg.cho_factor(regular)
    right = jnp.where(free, right, 0)
    x = jax.scipy.linalg.cho_solve(factor, right)
    for _ in range(refinements):
        x = jax.scipy.linalg.cho_solve(factor, right + delta * jnp.where(free, x, 0))
    return jnp.where(free, x, 0)


class _Search(NamedTuple):
    free: jax.Array
    wrong: jax.Array
    fewest: jax.Array
    patience: jax.Array
    left: jax.Array


def free_set(h: jax.Array, linear: jax.Array) -> jax.Array:
    """Returns which unknowns are above 0 at the minimum of ½ xᵀ h x + linearᵀ x over x ≥ 0, booleans ``[N]``.

    Block principal pivoting: all that violate the conditions of optimality change sides at once. Where that makes no
    progress, only the last of them does, which cannot cycle.

    References:
        Portugal, Júdice, Vicente, "A comparison of block pivoting and interior-point algorithms for linear least
        squares problems with nonnegative variables", Mathematics of Computation 63, 1994.
    """
    h, linear = jax.lax.stop_gradient((h, linear))
    n = len(h)
    # The unknowns of a singular system are not more exact than this; with a smaller limit the search may cycle.
    eps = jnp.finfo(h.dtype).eps ** (2 / 3)

    def violating(free: jax.Array) -> jax.Array:
        x = solve_on(free, h, -linear, refinements=1)  # signs need no more
        slope = h @ x + linear
        rounding = eps * (jnp.abs(h) @ jnp.abs(x) + jnp.abs(linear))
        return jnp.where(free, x < -eps * jnp.max(jnp.abs(x)), slope < -rounding)

    def exchange(search: _Search) -> _Search:
        count = jnp.sum(search.wrong)
        progress = count < search.fewest
        whole = progress | (search.patience > 0)
        last = jnp.arange(n) == n - 1 - jnp.argmax(search.wrong[::-1])
        free = search.free ^ (search.wrong & (whole | last))
        patience = jnp.where(progress, _PATIENCE, search.patience - 1)
        return _Search(free, violating(free), jnp.minimum(count, search.fewest), patience, search.left - 1)

    free = linear < 0
    wrong = violating(free)
    none = 0 * jnp.sum(wrong)  # varies over devices where the problem does
    first = _Search(free, wrong, none + n + 1, none + _PATIENCE, jnp.int32(5 * n + 20))
    return jax.lax.while_loop(lambda search: jnp.any(search.wrong) & (search.left > 0), exchange, first).free


def nonnegative(h: jax.Array, linear: jax.Array) -> jax.Array:
    """Returns the minimum of ½ xᵀ h x + linearᵀ x over x ≥ 0.

    Args:
        h: positive semidefinite ``[N, N]``, with ones on the diagonal.
        linear: ``[N]``.
    """
    return jnp.maximum(solve_on(free_set(h, linear), h, -linear), 0)


def projected(cosines: jax.Array, parts: jax.Array) -> jax.Array:
    """Projects a combination of unit vectors onto the directions that have no negative cosine with any of them.

    Args:
        cosines: of the unit vectors, ``[N, N]``.
        parts: of the combination, at least 0, ``[N]``.

    Returns:
        The projection as a combination of the unit vectors, ``[N]``.
    """
    return parts + nonnegative(cosines, cosines @ parts)


def farthest_gain(h: jax.Array, norms: jax.Array, toward: jax.Array, radius: jax.Array) -> jax.Array:
    """Returns the step from a point, of at most a given length, with the largest smallest gain over N gradients.

    The shortest step with which all gradients gain at least t is a minimum over x ≥ 0, as in :func:`nonnegative`. Its
    length grows with t. The t of the wanted length is found by halving; on the set of gradients that then matter the
    step is linear in t. Where gradients cancel, the gain has a limit for steps of any length: then the result is the
    shortest step that reaches it.

    Args:
        h: cosines of the gradients, ones on the diagonal, ``[N, N]``.
        norms: their norms, ``[N]``.
        toward: inner products of the unit gradients with the point, ``[N]``.
        radius: the given length.

    Returns:
        The step as a combination of the unit gradients, at least 0, ``[N]``.
    """
    per_gain = jnp.where(norms > 0, 1 / jnp.where(norms > 0, norms, 1), 0)
    smallest = jnp.min(jnp.where(norms > 0, norms, jnp.inf), initial=1.0)
    per_gain = per_gain * smallest  # a gain is in units of this norm, so that its factors are at most 1

    def squared_length(gain: jax.Array) -> jax.Array:
        linear = toward - gain * per_gain
        x = nonnegative(h, linear)
        inner = h @ x
        # Where gradients cancel, a gain may be out of reach. Then no x is a solution, and its conditions are violated.
        missed = jnp.max(-(inner + linear)) > jnp.finfo(h.dtype).eps ** 0.5 * jnp.max(jnp.abs(linear))
        return jnp.where(missed, jnp.inf, x @ inner)

    # Without a step the gain is that of the point. A step of this length gains most along a gradient itself.
    gains = jnp.where(norms > 0, toward / jnp.where(per_gain > 0, per_gain, 1), jnp.inf)
    reachable = jnp.where(norms > 0, (toward + radius) / jnp.where(per_gain > 0, per_gain, 1), jnp.inf)
    low, high = jax.lax.stop_gradient((jnp.min(gains), jnp.min(reachable)))
    low, high = (jnp.where(jnp.any(norms > 0), bound, 0) for bound in (low, high))

    def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        middle = (bounds[0] + bounds[1]) / 2
        is_short = squared_length(middle) < jax.lax.stop_gradient(radius) ** 2
        return jnp.where(is_short, middle, bounds[0]), jnp.where(is_short, bounds[1], middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
    gain = (low + high) / 2
    free = free_set(h, toward - gain * per_gain)
    slope, start = solve_on(free, h, per_gain), solve_on(free, h, -toward)
    # |start + t slope| = radius, the larger root.
    a, b, c = slope @ (h @ slope), slope @ (h @ start), start @ (h @ start) - radius**2
    root = (-b + jnp.sqrt(jnp.maximum(b * b - a * c, 0))) / jnp.where(a > 0, a, 1)
    x = jnp.maximum(start + root * slope, 0)
    squared = x @ (h @ x)
    length = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
    is_linear = (a > 0) & (jnp.abs(length - radius) <= 1e-2 * radius)
    shorter = nonnegative(h, toward - low * per_gain)
    return jnp.where(is_linear, x * radius / jnp.where(length > 0, length, 1), shorter)


def power_fixed_point(h: jax.Array, b: jax.Array, power: jax.Array | float) -> jax.Array:
    """Returns x > 0 with h x = b x^(-power), the minimum of a convex function, by damped Newton steps.

    Args:
        h: positive semidefinite ``[N, N]``, with ones on the diagonal; a ridge is added, without which there is no
            solution where gradients cancel.
        b: above 0, ``[N]``.
        power: above 0.
    """
    h = h + ridge(h) * jnp.eye(len(h), dtype=h.dtype)

    def step(_: int, x: jax.Array) -> jax.Array:
        barrier = b * x**-power
        gradient = h @ x - barrier
        hessian = h + jnp.diag(power * barrier / x)
        move = -jnp.linalg.solve(hessian, gradient)
        # A step is at most half of x, which keeps x above 0; near the solution it is a full Newton step.
        shrink = jnp.minimum(1, 0.5 / jnp.max(jnp.abs(move / x)))
        stepped: jax.Array = x + shrink * move
        return stepped

    alone = b ** (1 / (1 + power))  # the solution if all cosines are 0
    x: jax.Array = jax.lax.fori_loop(0, _NEWTON_STEPS, step, alone)
    return x
