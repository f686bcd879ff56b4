import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dg_jax.models import layers


@pytest.mark.parametrize(("extent", "size", "stride"), [(8, 2, 2), (9, 2, 2), (13, 3, 2), (55, 3, 2)])
def test_max_pool_and_its_gradient_equal_reduce_window(extent, size, stride):
    # Whole numbers above zero, so that many entries of a window tie.
    x = jax.nn.relu(jnp.round(2 * jax.random.normal(jax.random.key(0), (2, extent, extent + 1, 3))))

    def pooled_by_window(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), "VALID")

    np.testing.assert_array_equal(layers.max_pool(x, size, stride), pooled_by_window(x))
    weights = jax.random.normal(jax.random.key(1), pooled_by_window(x).shape)
    gradient = jax.grad(lambda x: jnp.sum(weights * layers.max_pool(x, size, stride)))(x)
    expected = jax.grad(lambda x: jnp.sum(weights * pooled_by_window(x)))(x)
    # Windows overlap: an entry's gradient is a sum of up to four terms, in either order.
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


def test_a_nan_in_a_window_reaches_the_maximum_and_the_gradient():
    x = jnp.ones((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    assert jnp.isnan(layers.max_pool(x, 2, 2)[0, 0, 0, 0])
    gradient = jax.grad(lambda x: jnp.sum(layers.max_pool(x, 2, 2) ** 2))(x)
    assert jnp.any(jnp.isnan(gradient[0, :2, :2]))
    assert jnp.all(jnp.isfinite(gradient[0, 2:, 2:]))


@pytest.mark.parametrize("extent", [1, 3, 4, 5, 7, 9])
def test_adaptive_average_pool_takes_pytorchs_windows(extent):
    x = np.random.default_rng(0).normal(size=(2, extent, extent, 3)).astype(np.float32)
    expected = np.empty((2, 4, 4, 3), np.float32)
    for i in range(4):
        for j in range(4):
            rows = slice(int(np.floor(i * extent / 4)), int(np.ceil((i + 1) * extent / 4)))
            columns = slice(int(np.floor(j * extent / 4)), int(np.ceil((j + 1) * extent / 4)))
            expected[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    np.testing.assert_allclose(layers.adaptive_average_pool(x, 4), expected, rtol=1e-5, atol=1e-6)


def test_weights_and_biases_start_uniform_within_one_over_root_fan_in():
    layer = layers.Conv(8, 64, 3, padding=1, rngs=nnx.Rngs(0))
    bound = 1 / np.sqrt(8 * 3 * 3)
    for values in (layer.kernel[...], layer.bias[...]):
        assert bound * 0.9 < np.abs(values).max() <= bound
        assert abs(np.mean(values)) < bound / 4


@pytest.mark.parametrize("is_cpu", [True, False])
def test_a_convolutions_bias_is_added_to_every_pixel_and_its_gradient_sums_over_them(monkeypatch, is_cpu):
    monkeypatch.setattr(layers.backend, "is_cpu", lambda: is_cpu)
    layer = layers.Conv(2, 3, 3, stride=2, padding=1, rngs=nnx.Rngs(0))
    x, weights = (jax.random.normal(key, (4, 2, 5, 5, 2)) for key in jax.random.split(jax.random.key(0)))
    weights = weights[:, :, :3, :3, :1]
    definition, parameters = nnx.split(layer)

    def output(parameters, x):
        return nnx.merge(definition, parameters)(x)

    without = nnx.clone(layer)
    without.bias[...] = jnp.zeros(3)
    np.testing.assert_allclose(layer(x[0]) - without(x[0]), np.broadcast_to(layer.bias[...], (2, 3, 3, 3)), atol=1e-6)
    gradient = jax.grad(lambda parameters, x, weights: jnp.sum(output(parameters, x) * weights))
    of_domains = jax.vmap(gradient, in_axes=(None, 0, 0))(parameters, x, weights)
    expected = np.repeat(np.asarray(weights).sum(axis=(1, 2, 3)), 3, axis=1)
    np.testing.assert_allclose(of_domains["bias"][...], expected, rtol=1e-5, atol=1e-5)
