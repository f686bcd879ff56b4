"""GradVac against Algorithm 1 on the gradients themselves, over several steps, and against PCGrad."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import surgery
from dg_jax.surgery import _projections
from tests import quick


def grad_vac(rows, orders, targets, beta):
    """Algorithm 1; changes the targets in place."""
    total = np.zeros(rows.shape[1])
    for i, order in enumerate(orders):
        gradient = rows[i].copy()
        for j in order:
            if j == i:
                continue
            phi = gradient @ rows[j] / np.linalg.norm(gradient) / np.linalg.norm(rows[j])
            target = targets[i, j]
            if phi < target:
                root = np.sqrt(1 - target**2)
                turn = np.linalg.norm(gradient) * (target * np.sqrt(1 - phi**2) - phi * root)
                gradient = gradient + turn / (np.linalg.norm(rows[j]) * root) * rows[j]
            targets[i, j] = (1 - beta) * target + beta * phi
        total += gradient
    return total


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_equals_its_statement_step_after_step(n, beta):
    combiner = surgery.grad_vac(beta, key=n, num_rows=n)
    update = quick.jit(combiner.update)
    state, targets = combiner.init(None), np.zeros((n, n))
    rng = np.random.default_rng(n)
    for scale in (1.0, 1e-6, 1e6, 1.0):
        rows = scale * (rng.normal(size=(n, 20)) + rng.normal(size=20))
        orders = np.asarray(_projections.random_orders(jax.random.split(state.key)[1], n))
        result, state = update(jnp.asarray(rows, jnp.float32), state)
        expected = grad_vac(rows, orders, targets, beta)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_allclose(state.targets, targets, atol=1e-5)


def test_with_beta_zero_it_is_pcgrad():
    vac, pcgrad = surgery.grad_vac(0, num_rows=4), surgery.pcgrad()
    states = [vac.init(None), pcgrad.init(None)]
    for seed in range(3):
        rows = jnp.asarray(np.random.default_rng(seed).normal(size=(4, 6)), jnp.float32)
        (one, states[0]), (other, states[1]) = vac.update(rows, states[0]), pcgrad.update(rows, states[1])
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_equal_opposite_and_zero_rows_stay_finite():
    for rows in ([[3.0, 4.0]] * 3, [[3.0, 4.0], [-3.0, -4.0], [3.0, 4.0]], [[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]]):
        combiner = surgery.grad_vac(num_rows=3)
        state = combiner.init(None)
        for _ in range(4):
            result, state = combiner.update(jnp.asarray(rows), state)
        assert np.isfinite(result).all() and np.isfinite(state.targets).all()
        assert np.abs(result).max() < 1e3


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_row_reaches_the_result(broken):
    combiner = surgery.grad_vac()
    result, _ = combiner.update(jnp.array([[1.0, 2.0], [broken, 1.0], [0.5, -1.0]]), combiner.init(None))
    assert not np.isfinite(result).any()


def test_the_state_settles_at_the_first_update_without_num_rows():
    combiner = surgery.grad_vac()
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6)), jnp.float32)
    _, state = combiner.update(rows, combiner.init(None))
    assert state.targets.shape == (3, 3)
    with pytest.raises(ValueError, match="grad_vac: the state is for 3 rows, the gradients have 2"):
        combiner.update(rows[:2], state)


def test_two_passes_and_a_scan():
    combiner = surgery.grad_vac(num_rows=2)

    def loss(params, x):
        return jnp.sum((params - x) ** 2)

    def step(state, _, form="stacked"):
        _, jacobian = surgery.value_and_grads(loss, form)(jnp.zeros(2), jnp.array([[1.0, 0.5], [-1.0, 2.0]]))
        result, state = combiner.update(jacobian, state)
        return state, result

    stacked = quick.jit(lambda: jax.lax.scan(step, combiner.init(None), length=3)[1])()
    state = combiner.init(None)
    for expected in stacked:
        state, result = step(state, None, "two_pass")
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"beta": -0.1}, {"beta": 1.5}, {"num_rows": 0}])
def test_a_setting_out_of_range_is_named(settings):
    [name] = settings
    with pytest.raises(ValueError, match=f"grad_vac: {name}="):
        surgery.grad_vac(**settings)
