"""The solvers of small problems, against SciPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from dg_jax.surgery import _solvers
from tests import quick

nonnegative = quick.jit(_solvers.nonnegative)
power_fixed_point = quick.jit(_solvers.power_fixed_point)


def cosines(n, m, rng):
    rows = rng.normal(size=(n, m))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return rows @ rows.T


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
def test_the_minimum_over_nonnegative_vectors_is_that_of_nnls(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        h, linear = cosines(n, 3 * n, rng), rng.normal(size=n)
        root = np.linalg.cholesky(h)
        expected, _ = optimize.nnls(root.T, -np.linalg.solve(root, linear))
        found = np.asarray(nonnegative(jnp.asarray(h, jnp.float32), jnp.asarray(linear, jnp.float32)))
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("n", "m"), [(3, 1), (5, 2), (9, 4), (20, 6)])
def test_where_rows_depend_on_each_other_the_objective_is_the_least(n, m):
    rng = np.random.default_rng(m)
    for _ in range(20):
        h = cosines(n, m, rng)
        linear = h @ rng.uniform(-1, 1, n)  # so that the minimum is not at infinity
        root = np.linalg.cholesky(h + 1e-9 * np.eye(n))
        best, _ = optimize.nnls(root.T, -np.linalg.solve(root, linear), maxiter=10_000)
        found = np.asarray(nonnegative(jnp.asarray(h, jnp.float32), jnp.asarray(linear, jnp.float32)), np.float64)
        objectives = [0.5 * x @ h @ x + linear @ x for x in (found, best)]
        assert (found >= 0).all() and objectives[0] < objectives[1] + 1e-4 * (1 + abs(objectives[1]))


def test_many_problems_side_by_side_are_those_one_by_one():
    rng = np.random.default_rng(0)
    h, linear = jnp.asarray(cosines(6, 9, rng), jnp.float32), jnp.asarray(rng.normal(size=(10, 6)), jnp.float32)
    together = quick.jit(jax.vmap(_solvers.nonnegative, in_axes=(None, 0)))(h, linear)
    for found, of_one in zip(together, linear, strict=True):
        np.testing.assert_allclose(found, nonnegative(h, of_one), atol=1e-6)


@pytest.mark.parametrize("power", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_the_fixed_point_is_one(power, n):
    rng = np.random.default_rng(n)
    for _ in range(10):
        h, b = cosines(n, 40, rng), rng.uniform(0.01, 100, n)
        x = np.asarray(power_fixed_point(jnp.asarray(h, jnp.float32), jnp.asarray(b, jnp.float32), power), np.float64)
        assert (x > 0).all()
        np.testing.assert_array_less(np.abs(h @ x - b * x**-power), 1e-5 * (np.abs(h) @ x))


def test_a_solution_has_the_derivative_of_differences():
    rng = np.random.default_rng(1)
    h = jnp.asarray(cosines(4, 8, rng), jnp.float32)
    linear = jnp.array([-1.0, 0.5, -0.2, -0.7])
    derivative = jax.jit(jax.jacobian(lambda given: _solvers.nonnegative(h, given)))(linear)
    step = 1e-2
    for i, along in enumerate(np.eye(4, dtype=np.float32)):
        difference = nonnegative(h, linear + step * along) - nonnegative(h, linear - step * along)
        np.testing.assert_allclose(derivative[:, i], difference / (2 * step), atol=1e-2)
