"""GradDrop against its formula, component by component, and how often each sign is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from tests import quick


def updated(combiner, rows):
    return combiner.update(jnp.asarray(rows, jnp.float32), combiner.init(None))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("leak", [0.0, 0.25, 1.0])
def test_each_component_keeps_one_sign(n, leak):
    rows = np.random.default_rng(n).normal(size=(n, 500))
    result = np.asarray(updated(surgery.grad_drop(leak=leak), rows)[0])
    positive, negative = rows.clip(min=0).sum(axis=0), rows.clip(max=0).sum(axis=0)
    either = np.stack([positive + leak * negative, negative + leak * positive])
    assert (np.abs(either - result).min(axis=0) < 1e-5).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_sign_is_drawn_by_its_share(scale):
    rows = scale * np.repeat([[3.0], [2.0], [-2.0], [0.0]], 40_000, axis=1)  # P = 5/7
    result, _ = updated(surgery.grad_drop(), rows)
    assert np.mean(np.asarray(result) > 0) == pytest.approx(5 / 7, abs=0.01)
    np.testing.assert_allclose(np.unique(result), [-2 * scale, 5 * scale], rtol=1e-6)


def test_where_all_signs_agree_it_is_the_sum():
    rows = np.abs(np.random.default_rng(0).normal(size=(3, 50))) * np.sign(np.linspace(-1, 1, 50))
    result, state = updated(surgery.grad_drop(), rows)
    np.testing.assert_allclose(result, rows.sum(axis=0), rtol=1e-6)
    assert state.agreement == 1


def test_each_step_draws_again_and_a_key_decides():
    rows = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float32)
    combiner, other = surgery.grad_drop(key=1), surgery.grad_drop(key=2)
    first, state = updated(combiner, rows)
    second, _ = combiner.update(jnp.asarray(rows), state)
    assert np.any(first != second) and np.any(first != updated(other, rows)[0])
    np.testing.assert_array_equal(first, updated(surgery.grad_drop(key=jax.random.key(1)), rows)[0])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_gradient_is_not_dropped(broken):
    rows = np.array([[1.0, -1.0, broken], [2.0, -1.0, -3.0], [1.0, 5.0, 1.0]])
    result = np.asarray(updated(surgery.grad_drop(), rows)[0])
    assert np.isfinite(result[:2]).all() and not np.isfinite(result[2])


@pytest.mark.parametrize("leak", [-0.1, 1.1, float("nan")])
def test_a_leak_out_of_range_is_named(leak):
    with pytest.raises(ValueError, match=f"grad_drop: leak={leak}; it must be a number from 0 to 1"):
        surgery.grad_drop(leak=leak)


def test_in_a_scan_with_a_traced_leak():
    combiner = optax.inject_hyperparams(surgery.grad_drop)(leak=0.5)
    rows = {"w": jnp.ones((3, 2, 2)), "b": jnp.array([[1.0], [1.0], [-1.0]])}

    @quick.jit
    def scanned():
        def step(state, _):
            result, state = combiner.update(rows, state)
            return state, result

        return jax.lax.scan(step, combiner.init({"w": jnp.ones((2, 2)), "b": jnp.ones(1)}), length=4)[1]

    results = scanned()
    np.testing.assert_array_equal(results["w"], np.full((4, 2, 2), 3))
    assert set(results["b"].ravel().tolist()) <= {1.5, 0.0}
