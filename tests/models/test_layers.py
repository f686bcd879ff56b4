import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dg_jax.models import layers
from tests import quick
from tests.models import networks


@pytest.mark.parametrize(("extent", "size", "stride"), [(8, 2, 2), (9, 2, 2), (13, 3, 2), (55, 3, 2)])
def test_max_pool_and_its_gradient_equal_reduce_window(extent, size, stride):
    # Whole numbers above zero, so that many entries of a window tie.
    rng = np.random.default_rng(0)
    x = np.maximum(np.round(2 * rng.normal(size=(2, extent, extent + 1, 3))), 0).astype(np.float32)
    rows, columns = ((have - size) // stride + 1 for have in x.shape[1:3])
    weights = rng.normal(size=(2, rows, columns, 3)).astype(np.float32)

    def pooled_by_window(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), "VALID")

    @quick.jit
    def both(x, weights):
        ours, pull_back = jax.vjp(lambda x: layers.max_pool(x, size, stride), x)
        theirs, pull_back_theirs = jax.vjp(pooled_by_window, x)
        return (ours, theirs), (*pull_back(weights), *pull_back_theirs(weights))

    pooled, (gradient, expected) = both(x, weights)
    np.testing.assert_array_equal(*pooled)
    # Windows overlap: an entry's gradient is a sum of up to four terms, in either order.
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_a_nan_in_a_window_reaches_the_maximum_and_the_gradient():
    x = np.ones((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    assert np.isnan(quick.jit(layers.max_pool, static_argnums=(1, 2))(x, 2, 2)[0, 0, 0, 0])
    gradient = np.asarray(quick.jit(jax.grad(lambda x: jnp.sum(layers.max_pool(x, 2, 2) ** 2)))(x))
    assert np.any(np.isnan(gradient[0, :2, :2]))
    assert np.all(np.isfinite(gradient[0, 2:, 2:]))


@pytest.mark.parametrize("extent", [1, 3, 4, 5, 7, 9])
def test_adaptive_average_pool_takes_pytorchs_windows(extent):
    x = np.random.default_rng(0).normal(size=(2, extent, extent, 3)).astype(np.float32)
    expected = np.empty((2, 4, 4, 3), np.float32)
    for i in range(4):
        for j in range(4):
            rows = slice(int(np.floor(i * extent / 4)), int(np.ceil((i + 1) * extent / 4)))
            columns = slice(int(np.floor(j * extent / 4)), int(np.ceil((j + 1) * extent / 4)))
            expected[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    result = quick.jit(layers.adaptive_average_pool, static_argnums=1)(x, 4)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_weights_and_biases_start_uniform_within_one_over_root_fan_in():
    layer = layers.Conv(32, 64, 3, padding=1, rngs=nnx.Rngs(0))
    bound = 1 / np.sqrt(32 * 3 * 3)
    for values in (layer.kernel[...], layer.bias[...]):
        values = np.asarray(values)
        assert bound * 0.9 < np.abs(values).max() <= bound
        assert abs(np.mean(values)) < bound / 4


@pytest.mark.parametrize("is_cpu", [True, False])
def test_a_convolutions_bias_is_added_to_every_pixel_and_its_gradient_sums_over_them(monkeypatch, is_cpu):
    monkeypatch.setattr(layers.backend, "is_cpu", lambda: is_cpu)
    layer = networks.random_module(lambda: layers.Conv(2, 3, 3, stride=2, padding=1, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    x, weights = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 2, 5, 5, 2), (4, 2, 3, 3, 1)))
    definition, parameters = nnx.split(layer)

    def output(parameters, x):
        return nnx.merge(definition, parameters)(x)

    without = nnx.clone(layer)
    without.bias[...] = jnp.zeros(3)
    gradient = jax.grad(lambda parameters, x, weights: jnp.sum(output(parameters, x) * weights))

    @quick.jit
    def results(parameters, parameters_without, x, weights):
        of_domains = jax.vmap(gradient, in_axes=(None, 0, 0))(parameters, x, weights)
        return output(parameters, x[0]), output(parameters_without, x[0]), of_domains

    ours, unbiased, of_domains = jax.device_get(results(parameters, nnx.state(without), x, weights))
    np.testing.assert_allclose(ours - unbiased, np.broadcast_to(layer.bias[...], (2, 3, 3, 3)), atol=1e-6)
    expected = np.repeat(weights.sum(axis=(1, 2, 3)), 3, axis=1)
    np.testing.assert_allclose(of_domains["bias"][...], expected, rtol=1e-5, atol=1e-5)
