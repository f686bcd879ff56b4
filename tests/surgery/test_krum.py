"""Krum against a NumPy reference on the gradients themselves."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from tests import quick


def krum(rows, byzantine, selected=1):
    squares = ((rows[:, None] - rows[None, :]) ** 2).sum(axis=-1)
    scores = [np.sort(np.delete(squares[i], i))[: len(rows) - byzantine - 2].sum() for i in range(len(rows))]
    return rows[np.argsort(scores, kind="stable")[:selected]].mean(axis=0)


@pytest.mark.parametrize(("n", "byzantine", "selected"), [(3, 0, 1), (4, 1, 1), (7, 2, 3), (16, 4, 16)])
def test_equals_its_statement(n, byzantine, selected):
    combiner = surgery.krum(byzantine, selected)
    update = quick.jit(combiner.update)
    for seed in range(10):
        rows = np.random.default_rng([n, seed]).normal(size=(n, 9)) * 10.0 ** (seed - 5)
        rows[seed % n] *= 30
        result, state = update(jnp.asarray(rows, jnp.float32), combiner.init(None))
        expected = krum(rows, byzantine, selected)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
        np.testing.assert_allclose(state.weight_max, 1 / selected)
        np.testing.assert_allclose(state.norm, np.linalg.norm(expected), rtol=1e-3)


def test_of_equal_gradients_the_first_is_taken():
    combiner = surgery.krum(byzantine=0)
    result, state = combiner.update(jnp.ones((4, 3)), combiner.init(None))
    np.testing.assert_array_equal(result, [1, 1, 1])
    assert (state.weight_min, state.weight_max) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"byzantine": -1}, "krum: byzantine=-1; it must be an integer of at least 0"),
        ({"byzantine": 0.5}, "krum: byzantine=0.5; it must be an integer of at least 0"),
        ({"byzantine": 1, "selected": 0}, "krum: selected=0; it must be an integer of at least 1"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        surgery.krum(**settings)


@pytest.mark.parametrize("settings", [{"byzantine": 2}, {"byzantine": 0, "selected": 5}])
def test_too_few_gradients_are_named(settings):
    combiner = surgery.krum(**settings)
    with pytest.raises(ValueError, match=r"krum: byzantine=., selected=. need at least 5 gradients; there are 4"):
        combiner.update(jnp.ones((4, 3)), combiner.init(None))


def test_under_inject_hyperparams():
    combiner = optax.inject_hyperparams(surgery.krum, static_args=("byzantine", "selected"))(byzantine=1, selected=2)
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    result, _ = combiner.update(jnp.asarray(rows), combiner.init(jnp.zeros(3)))
    np.testing.assert_allclose(result, krum(rows, 1, 2), rtol=1e-5)
