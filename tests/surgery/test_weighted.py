"""Fixed weights against NumPy."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery


@pytest.mark.parametrize("n", [1, 2, 5])
def test_equals_its_statement(n):
    rng = np.random.default_rng(n)
    rows, weights = rng.normal(size=(n, 7)), rng.normal(size=n)
    combiner = surgery.weighted(weights.tolist())
    result, state = combiner.update(jnp.asarray(rows, jnp.float32), combiner.init(None))
    np.testing.assert_allclose(result, weights @ rows, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose([state.weight_min, state.weight_max], [weights.min(), weights.max()], rtol=1e-6)


@pytest.mark.parametrize("weights", [0.5, [[1.0]], ["a"], [1.0, np.nan]])
def test_weights_that_are_not_numbers_are_named(weights):
    with pytest.raises(ValueError, match=r"weighted: weights=.*; it must be N numbers"):
        surgery.weighted(weights)


def test_another_number_of_weights_is_named():
    combiner = surgery.weighted([1.0, 2.0])
    with pytest.raises(ValueError, match=r"weighted: weights has shape \(2,\), but the gradients have 3 rows"):
        combiner.update(jnp.ones((3, 4)), combiner.init(None))


def test_under_inject_hyperparams():
    combiner = optax.inject_hyperparams(surgery.weighted)(weights=jnp.array([1.0, -2.0]))
    result, _ = combiner.update(jnp.eye(2), combiner.init(jnp.zeros(2)))
    np.testing.assert_allclose(result, [1, -2])
