"""SAND-mask against NumPy in float64."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery


def sand_mask(rows, threshold=0.5, steepness=10.0):
    agreement = np.abs(np.sign(rows).mean(axis=0))
    mask = np.maximum(np.tanh(steepness / rows.var(axis=0, ddof=1) * (agreement - threshold)), 0)
    return mask * rows.mean(axis=0) / (1e-10 + mask.mean())


def updated(combiner, rows):
    return np.asarray(combiner.update(jnp.asarray(rows, jnp.float32), combiner.init(None))[0])


@pytest.mark.parametrize("n", [2, 3, 8, 16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize(("threshold", "steepness"), [(0.5, 10.0), (0.15, 0.5)])
def test_equals_its_statement(n, scale, threshold, steepness):
    rows = scale * np.random.default_rng(n).normal(0.5, 1, size=(n, 50))
    expected = sand_mask(rows, threshold, steepness)
    found = updated(surgery.sand_mask(threshold, steepness), rows)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_where_a_variance_leaves_the_range_the_mask_is_that_of_its_limit(scale):
    rows = scale * np.array([[1.0, 1.0], [2.0, -2.0]])
    expected = {1e-30: [3e-30, 0], 1e30: [0, 0]}[scale]
    np.testing.assert_allclose(updated(surgery.sand_mask(), rows), expected, rtol=1e-5)


def test_one_row_and_equal_rows_are_kept():
    for n in (1, 3):
        np.testing.assert_allclose(updated(surgery.sand_mask(), np.repeat([[2.0, -1.0]], n, axis=0)), [2, -1])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_gradient_is_not_masked(broken):
    result = updated(surgery.sand_mask(), np.array([[1, -1, 2], [1, broken, 2], [1, 1, -2]]))
    assert not np.isfinite(result[1]) and np.isfinite(result[[0, 2]]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, "sand_mask: threshold=1.0; it must be a number of at least 0 and below 1"),
        ({"steepness": 0}, "sand_mask: steepness=0; it must be a number above 0"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        surgery.sand_mask(**settings)


def test_traced_settings_pass():
    combiner = optax.inject_hyperparams(surgery.sand_mask)(threshold=0.3)
    rows = np.random.default_rng(0).normal(size=(3, 9))
    result, _ = combiner.update(jnp.asarray(rows, jnp.float32), combiner.init(jnp.zeros(9)))
    np.testing.assert_allclose(result, sand_mask(rows, 0.3), rtol=1e-4, atol=1e-6)
