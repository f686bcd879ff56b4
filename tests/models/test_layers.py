import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from dg_jax.models import fast, layers
from dg_jax.models.fast import images, large, on_accelerator, on_cpu, plain
from tests import quick
from tests.models import networks


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


@pytest.mark.parametrize("on_cpu", [images.unchanged, lax.optimization_barrier])  # the latter as on accelerators
def test_a_convolutions_bias_is_added_to_every_pixel_and_its_gradient_sums_over_them(monkeypatch, on_cpu):
    monkeypatch.setattr(images, "unchanged", on_cpu)
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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("device", [on_cpu, on_accelerator])
@pytest.mark.parametrize("multiplications", [0, 1e9])
@pytest.mark.parametrize("few_windows", [0, 1e9])
def test_a_convolution_gives_the_same_in_every_form(monkeypatch, device, multiplications, few_windows, stride):
    def convolve(x, kernel, stride, padding):
        return device.choose(x, kernel, stride)(x, kernel, stride, padding)

    layer = networks.random_module(lambda: layers.Conv(3, 4, 3, stride=stride, padding=1, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(1, 9, 8, 3)).astype(np.float32)
    expected = plain.convolve(x, layer.kernel[...], stride, ((1, 1), (1, 1))) + layer.bias[...]
    monkeypatch.setattr(large, "LARGE", multiplications)
    monkeypatch.setattr(on_cpu, "FEW_WINDOWS", few_windows)
    for form in (fast.convolve, convolve):
        monkeypatch.setattr(fast, "convolve", form)
        np.testing.assert_allclose(quick.jit(lambda x: layer(x))(x), expected, atol=1e-6)
