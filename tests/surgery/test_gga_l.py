"""GGA-L: the mean against NumPy, and the size of the noise against its formula."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery


def updated(combiner, rows):
    return combiner.update(jnp.asarray(rows, jnp.float32), combiner.init(None))


def spread(rows, gamma):
    """σ by its formula."""
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    pairs = [units[i] @ units[k] for i in range(len(rows)) for k in range(i)]
    return gamma * (1 - np.mean(pairs)) if pairs else 0


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16])
def test_the_mean_and_noise_of_its_size(n):
    rows = np.random.default_rng(n).normal(size=(n, 20_000)) + 0.5
    result, state = updated(surgery.gga_l(gamma=0.2), rows)
    noise, sigma = np.asarray(result) - rows.mean(axis=0), spread(rows, 0.2)
    np.testing.assert_allclose(state.sigma, sigma, rtol=1e-4, atol=1e-7)
    assert abs(noise.mean()) < 5 * sigma / np.sqrt(noise.size) + 1e-6
    np.testing.assert_allclose(noise.std(), sigma, rtol=0.03, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_sigma_does_not_depend_on_the_gradients_size(scale):
    rows = scale * np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.5]])
    _, state = updated(surgery.gga_l(gamma=0.2), rows)
    np.testing.assert_allclose(state.sigma, spread(rows, 0.2), rtol=1e-5)


def test_equal_gradients_and_gamma_zero_give_the_mean():
    rows = np.random.default_rng(0).normal(size=(3, 50))
    np.testing.assert_allclose(updated(surgery.gga_l(gamma=0), rows)[0], rows.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(updated(surgery.gga_l(gamma=1), [rows[0]] * 3)[0], rows[0], rtol=1e-4, atol=1e-5)


def test_each_step_draws_again_and_a_key_decides():
    rows = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float32)
    combiner = surgery.gga_l(key=1)
    first, state = updated(combiner, rows)
    second, _ = combiner.update(jnp.asarray(rows), state)
    assert np.all(first != second) and np.all(first != updated(surgery.gga_l(key=2), rows)[0])


@pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf")])
def test_a_gamma_out_of_range_is_named(gamma):
    with pytest.raises(ValueError, match=f"gga_l: gamma={gamma}; it must be a number of at least 0"):
        surgery.gga_l(gamma=gamma)
    optax.inject_hyperparams(surgery.gga_l)(gamma=lambda step: 0.1 / (step + 1))
