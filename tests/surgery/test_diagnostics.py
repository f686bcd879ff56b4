"""The diagnostics of any direction, against NumPy and against what a rule on the Gramian logs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import surgery

rng = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 16])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_against_numpy(n, scale):
    rows, direction = rng.normal(size=(n, 30)), rng.normal(size=30)
    norms = np.linalg.norm(rows, axis=1)
    units = rows / norms[:, None]
    pairs = (units @ units.T)[np.triu_indices(n, k=1)] if n > 1 else np.ones(1)
    halves = {"a": jnp.asarray(scale * rows[:, :12], jnp.float32), "b": jnp.asarray(scale * rows[:, 12:], jnp.float32)}
    gradient = {"a": jnp.asarray(direction[:12], jnp.float32), "b": jnp.asarray(direction[12:], jnp.float32)}
    found = jax.jit(surgery.diagnostics)(halves, gradient)
    expected = surgery.Diagnostics(
        scale * norms.mean(),
        np.linalg.norm(direction),
        pairs.mean(),
        pairs.min(),
        (pairs < 0).mean(),
        (units @ direction).min() / np.linalg.norm(direction),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_is_what_a_rule_on_the_gramian_logs():
    rows = jnp.asarray(rng.normal(size=(3, 9)), jnp.float32)
    combiner = surgery.weighted([0.5, -0.25, 1.0])
    gradient, state = combiner.update(rows, combiner.init(None))
    found = surgery.diagnostics(rows, gradient)
    for field in found._fields:
        np.testing.assert_allclose(getattr(found, field), getattr(state, field), rtol=1e-4, atol=1e-5, err_msg=field)


def test_zero_and_broken_gradients():
    rows = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    found = surgery.diagnostics(rows, jnp.zeros(2))
    assert found.descent == found.norm == found.cosine_mean == 0
    assert surgery.diagnostics(jnp.zeros((2, 2)), jnp.ones(2)).descent == 0
    assert np.isnan(surgery.diagnostics(rows.at[0, 0].set(jnp.nan), jnp.ones(2)).descent)


def test_what_does_not_fit_is_named():
    rows = {"w": jnp.ones((3, 4))}
    with pytest.raises(ValueError, match=r"diagnostics: \['w'\] has shape \(3, 4\)"):
        surgery.diagnostics(rows, {"w": jnp.ones(5)})
    with pytest.raises(ValueError, match="diagnostics: the gradient is not a tree like the stacked ones"):
        surgery.diagnostics(rows, {"v": jnp.ones(4)})
    with pytest.raises(ValueError, match="diagnostics: the gradient is not a tree"):
        surgery.diagnostics(surgery.accumulate({"w": jnp.ones(4)}), {"w": jnp.ones(4)})
