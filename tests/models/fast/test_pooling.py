import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.models.fast import plain, pooling
from tests import quick


@pytest.mark.parametrize(("extent", "size", "stride"), [(8, 2, 2), (9, 2, 2), (13, 3, 2), (55, 3, 2)])
def test_max_pool_and_its_gradient_equal_the_plain_form(extent, size, stride):
    # Whole numbers of at least 0, so that many entries of a window tie.
    rng = np.random.default_rng(0)
    x = np.maximum(np.round(2 * rng.normal(size=(2, extent, extent + 1, 3))), 0).astype(np.float32)
    rows, columns = ((have - size) // stride + 1 for have in x.shape[1:3])
    weights = rng.normal(size=(2, rows, columns, 3)).astype(np.float32)

    @quick.jit
    def both(x, weights):
        ours, pull_back = jax.vjp(lambda x: pooling.max_pool(x, size, stride), x)
        theirs, pull_back_theirs = jax.vjp(lambda x: plain.max_pool(x, size, stride), x)
        return (ours, theirs), (*pull_back(weights), *pull_back_theirs(weights))

    pooled, (gradient, expected) = both(x, weights)
    np.testing.assert_array_equal(*pooled)
    # Windows overlap: an entry's gradient is a sum of up to four terms, whose order may differ.
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_a_nan_in_a_window_reaches_the_maximum_and_the_gradient():
    x = np.ones((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(quick.jit(pooling.max_pool, static_argnums=(1, 2))(x, 2, 2)[0, 0, 0, 0])
    gradient = np.asarray(quick.jit(jax.grad(lambda x: jnp.sum(pooling.max_pool(x, 2, 2) ** 2)))(x))
    assert np.any(np.isnan(gradient[0, :2, :2]))
    assert np.all(np.isfinite(gradient[0, 2:, 2:]))
