"""The forms of the convolution against XLA's."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from dg_jax.models import convolution, layers
from tests import quick
from tests.models import networks

SHAPES = [
    # images, kernel, stride, padding
    ((2, 15, 13, 3), (11, 11, 3, 4), 4, 2),
    ((1, 9, 9, 2), (3, 3, 2, 3), 1, 1),
    ((3, 8, 8, 3), (3, 3, 3, 5), 2, 1),
    ((2, 7, 10, 3), (1, 1, 3, 5), 2, 0),
    ((2, 14, 14, 3), (7, 7, 3, 4), 2, 3),
    ((2, 6, 6, 2), (5, 5, 2, 2), 1, 2),
    ((1, 5, 5, 2), (5, 5, 2, 2), 3, 0),
    ((1, 1, 1, 2), (3, 3, 2, 1), 1, 1),
]


def plain(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )


def case(images, kernel):
    rng = np.random.default_rng(0)
    return rng.normal(size=images).astype(np.float32), rng.normal(size=kernel).astype(np.float32)


def loss_of(convolve, stride, pad):
    return lambda x, kernel: jnp.sum(jnp.sin(convolve(x, kernel, stride, ((pad, pad), (pad, pad)))))


def assert_close(ours, expected, rtol):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(jax.device_get(expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("form", [convolution.convolve, convolution.as_matrix_product, convolution.over_blocks])
@pytest.mark.parametrize(("images", "kernel", "stride", "pad"), SHAPES)
def test_result_and_gradients_equal_xlas(form, images, kernel, stride, pad):
    arguments = case(images, kernel)
    ours = quick.jit(jax.value_and_grad(loss_of(form, stride, pad), argnums=(0, 1)))(*arguments)
    expected = quick.jit(jax.value_and_grad(loss_of(plain, stride, pad), argnums=(0, 1)))(*arguments)
    assert_close(ours, expected, rtol=1e-4)


@pytest.mark.parametrize("is_cpu", [True, False])
@pytest.mark.parametrize("kernel_axis", [None, 0])
def test_gradients_and_second_gradients_under_vmap_equal_xlas(monkeypatch, is_cpu, kernel_axis):
    """As with one kernel for all domains, or with one for each seed; second ones as MLDG of second order takes them."""
    monkeypatch.setattr(convolution.backend, "is_cpu", lambda: is_cpu)
    images, kernel, stride, pad = SHAPES[2]
    x, kernels = case((4, *images), (4, *kernel))
    kernels = kernels[0] if kernel_axis is None else kernels

    def gradients(convolve):
        first = jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1))
        second = jax.grad(lambda x, kernel: jnp.sum(first(x, kernel)[1] ** 2), argnums=(0, 1))
        return jax.vmap(lambda x, kernel: (first(x, kernel), second(x, kernel)), in_axes=(0, kernel_axis))

    ours, expected = (quick.jit(gradients(convolve))(x, kernels) for convolve in (convolution.convolve, plain))
    assert_close(ours, expected, rtol=1e-3)


def test_under_vmap_over_seeds_and_domains_gradients_equal_xlas():
    images, kernel, stride, pad = SHAPES[2]
    x, kernels = case((2, 3, *images), (2, *kernel))

    def gradients(convolve):
        of_one = jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1))
        return jax.vmap(jax.vmap(of_one, in_axes=(0, None)))

    ours, expected = (quick.jit(gradients(convolve))(x, kernels) for convolve in (convolution.convolve, plain))
    assert_close(ours, expected, rtol=1e-3)


def groups(function, *arguments):
    """The group counts of all convolutions that XLA gets."""
    text = jax.jit(function).lower(*arguments).as_text()
    return set(map(int, re.findall(r"(?:batch|feature)_group_count = (\d+)", text)))


@pytest.mark.parametrize("is_cpu", [True, False])
def test_under_vmap_with_one_kernel_no_convolution_is_grouped(monkeypatch, is_cpu):
    monkeypatch.setattr(convolution.backend, "is_cpu", lambda: is_cpu)
    images, kernel, stride, pad = SHAPES[2]
    x, weights = case((4, *images), kernel)

    def gradients(convolve):
        return jax.vmap(jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1)), in_axes=(0, None))

    assert groups(gradients(plain), x, weights) == {1, 4}
    assert groups(gradients(convolution.convolve), x, weights) == {1}


def test_the_device_and_the_size_choose_the_form(monkeypatch):
    def forms(taps):
        layer = networks.random_module(lambda: layers.Conv(3, 64, taps, stride=4, padding=2, rngs=nnx.Rngs(0)))
        return [form(layer, num_images) for num_images in (1, 100, 512)]

    def form(layer, num_images):
        program = str(jax.make_jaxpr(lambda x: layer(x))(jax.ShapeDtypeStruct((num_images, 128, 128, 3), jnp.float32)))
        if "custom_vjp" in program:  # in blocks of 4 × 4 pixels of three channels
            return "over_blocks" if re.search(rf"f32\[{num_images},\d+,\d+,48\]", program) else "convolve"
        return "plain" if "conv_general_dilated" in program else "as_matrix_product"

    assert forms(5) == ["as_matrix_product", "plain", "convolve"]
    assert forms(7) == ["plain", "plain", "convolve"]
    monkeypatch.setattr(convolution.backend, "is_cpu", lambda: False)
    assert forms(5) == forms(7) == ["as_matrix_product", "as_matrix_product", "over_blocks"]


@pytest.mark.parametrize(("taps", "stride", "is_chosen"), [(3, 1, True), (5, 1, True), (7, 1, False), (3, 2, False)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_on_a_cpu_large_ones_of_stride_1_take_winograds_form(monkeypatch, taps, stride, is_chosen, dtype):
    def is_plain():
        arguments = jax.ShapeDtypeStruct((32, 64, 64, 64), dtype), jax.ShapeDtypeStruct((taps, taps, 64, 64), dtype)
        pad = ((1, 1), (1, 1))
        form = jax.make_jaxpr(lambda x, kernel: convolution.conv_general_dilated(x, kernel, (stride, stride), pad))
        return "conv_general_dilated" in str(form(*arguments))

    assert is_plain() != (is_chosen and dtype == jnp.float32)
    monkeypatch.setattr(convolution.backend, "is_cpu", lambda: False)
    assert is_plain()


@pytest.mark.parametrize("form", [convolution.convolve, convolution.as_matrix_product])
def test_a_kernels_gradient_is_0_where_all_its_terms_are(form):
    """Rounding in its place would have a sign, and Agr-Sum agreement of domains."""
    rng = np.random.default_rng(0)
    x, kernel = case((4, 12, 12, 8), (3, 3, 8, 8))
    weights = rng.normal(size=(4, 12, 12, 8)) * (rng.random((4, 12, 12, 8)) < 0.02)  # as behind ReLU and pooling
    x *= rng.random(x.shape) < 0.1
    pad = ((1, 1), (1, 1))

    def gradient(convolve):
        return quick.jit(jax.grad(lambda kernel: jnp.sum(convolve(x, kernel, 1, pad) * weights)))(kernel)

    ours, expected = (np.asarray(gradient(convolve)) for convolve in (form, plain))
    assert 0 < np.mean(expected == 0) < 1
    np.testing.assert_array_equal(np.sign(ours), np.sign(expected))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("is_cpu", [True, False])
@pytest.mark.parametrize("large", [0, 1e9])
@pytest.mark.parametrize("few_windows", [0, 1e9])
def test_a_layer_gives_the_same_in_every_form(monkeypatch, is_cpu, large, few_windows, stride):
    layer = networks.random_module(lambda: layers.Conv(3, 4, 3, stride=stride, padding=1, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(0).normal(size=(1, 9, 8, 3)).astype(np.float32)
    expected = plain(x, layer.kernel[...], stride, ((1, 1), (1, 1))) + layer.bias[...]
    monkeypatch.setattr(convolution, "_LARGE", large)
    monkeypatch.setattr(convolution, "_FEW_WINDOWS", few_windows)
    monkeypatch.setattr(convolution.backend, "is_cpu", lambda: is_cpu)
    np.testing.assert_allclose(quick.jit(lambda x: layer(x))(x), expected, atol=1e-6)
