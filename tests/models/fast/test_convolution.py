"""The forms of a convolution against the plain one, and how the device chooses between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.models.fast import convolution, large, on_accelerator, on_cpu, plain
from dg_jax.models.fast.matrix_product import as_matrix_product
from tests import programs, quick
from tests.models.fast.cases import SHAPES, assert_close, case, loss_of, precise, shapes_of

LARGE = ((32, 64, 64, 64), (3, 3, 64, 64))  # in Winograd's form on a CPU
FORMS = [
    plain.convolve,
    as_matrix_product,
    on_cpu.convolve_large,
    on_accelerator.convolve_large,
    on_accelerator.over_blocks,
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("images", "kernel", "stride", "pad"), SHAPES)
def test_every_form_gives_the_plain_result_and_gradients(form, images, kernel, stride, pad):
    arguments = case(images, kernel)
    ours = quick.jit(jax.value_and_grad(loss_of(form, stride, pad), argnums=(0, 1)))(*arguments)
    expected = quick.jit(jax.value_and_grad(loss_of(precise, stride, pad), argnums=(0, 1)))(*arguments)
    assert_close(ours, expected, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_kernels_gradient_is_0_where_all_its_terms_are(form):
    """Rounding would give it a sign, and Agr-Sum would see agreement of domains."""
    rng = np.random.default_rng(0)
    x, kernel = case((4, 12, 12, 8), (3, 3, 8, 8))
    weights = rng.normal(size=(4, 12, 12, 8)) * (rng.random((4, 12, 12, 8)) < 0.02)  # sparse, as after ReLU and pooling
    x *= rng.random(x.shape) < 0.1
    pad = ((1, 1), (1, 1))

    def gradient(convolve):
        return quick.jit(jax.grad(lambda kernel: jnp.sum(convolve(x, kernel, 1, pad) * weights)))(kernel)

    ours, expected = (np.asarray(gradient(convolve)) for convolve in (form, precise))
    assert 0 < np.mean(expected == 0) < 1
    np.testing.assert_array_equal(np.sign(ours), np.sign(expected))


def through(wrap, convolve):
    """Loss, gradients and second gradients, for stacked images and one kernel."""
    _, _, stride, pad = SHAPES[2]
    first = jax.value_and_grad(loss_of(convolve, stride, pad), argnums=(0, 1))
    second = jax.grad(lambda x, kernel: jnp.sum(first(x, kernel)[1][1] ** 2), argnums=(0, 1))
    return wrap(lambda x, kernel: (first(x, kernel), second(x, kernel)))


WRAPS = {
    "eager": lambda function: lambda x, kernel: function(x[0], kernel),
    "jit": lambda function: quick.jit(lambda x, kernel: function(x[0], kernel)),
    "vmap": lambda function: jax.vmap(function, in_axes=(0, None)),
    "jit of vmap": lambda function: quick.jit(jax.vmap(function, in_axes=(0, None))),
    "checkpoint": lambda function: quick.jit(lambda x, kernel: jax.checkpoint(function)(x[0], kernel)),
    "scan": lambda function: quick.jit(lambda x, kernel: jax.lax.map(lambda row: function(row, kernel), x)),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("multiplications", [0, 1e9])
def test_the_choice_keeps_results_and_gradients_in_every_transformation(monkeypatch, wrap, multiplications):
    monkeypatch.setattr(large, "LARGE", multiplications)
    images, kernel, _, _ = SHAPES[2]
    x, weights = case((3, *images), kernel)
    ours, expected = (through(WRAPS[wrap], convolve)(x, weights) for convolve in (convolution.convolve, precise))
    assert_close(ours, expected, rtol=1e-3)


@pytest.mark.parametrize("multiplications", [0, 1e9])
def test_the_choice_keeps_bfloat16(monkeypatch, multiplications):
    monkeypatch.setattr(large, "LARGE", multiplications)
    images, kernel, stride, pad = SHAPES[2]
    arguments = [array.astype(jnp.bfloat16) for array in case(images, kernel)]

    def results(convolve):
        def result(x, kernel):
            y = convolve(x, kernel, stride, ((pad, pad), (pad, pad)))
            return jnp.sum(jnp.sin(y.astype(jnp.float32))), y

        return quick.jit(jax.grad(result, argnums=(0, 1), has_aux=True))(*arguments)

    ours, expected = results(convolution.convolve), results(plain.convolve)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype == jnp.bfloat16
        one, other = (np.asarray(array, np.float32) for array in (one, other))
        np.testing.assert_allclose(one, other, rtol=0, atol=0.02 * np.abs(other).max())


def lowered(platform, images, kernel, stride, pad):
    """The program that XLA gets for the gradients."""
    function = jax.grad(loss_of(convolution.convolve, stride, pad), argnums=(0, 1))
    return programs.text(function, *shapes_of(images, kernel), platform=platform)


def test_xla_gets_the_form_of_its_device_alone():
    cpu, cuda = (lowered(platform, *LARGE, 1, 1) for platform in ("cpu", "cuda"))
    assert "stablehlo.dot_general" in cpu and "stablehlo.convolution" not in cpu
    assert "stablehlo.convolution" in cuda and "stablehlo.dot_general" not in cuda
    first = (128, 224, 224, 3), (11, 11, 3, 64), 4, 2  # AlexNet's: 4 × 4 pixels with 3 channels have 48 numbers
    assert "tensor<128x57x57x48xf32>" in lowered("cuda", *first)
    assert "tensor<3x3x48x64xf32>" in lowered("tpu", *first)
    small = (4, 8, 8, 3), (7, 7, 3, 8), 1, 3
    assert "stablehlo.dot_general" not in lowered("cpu", *small)
    assert "stablehlo.convolution" not in lowered("cuda", *small)


@pytest.mark.parametrize("multiplications", [0, 1e9])
def test_the_compiled_program_has_no_conditional(monkeypatch, multiplications):
    monkeypatch.setattr(large, "LARGE", multiplications)
    for images, kernel, stride, pad in SHAPES[:2]:
        function = jax.vmap(jax.grad(loss_of(convolution.convolve, stride, pad), argnums=(0, 1)), in_axes=(0, None))
        program = jax.jit(function).lower(*shapes_of((3, *images), kernel)).compile(compiler_options=quick.OPTIONS)
        assert " conditional(" not in program.as_text()


def test_where_the_devices_want_the_same_form_there_is_nothing_to_choose():
    images, kernel, stride, pad = SHAPES[2]
    loss = loss_of(convolution.convolve, stride, pad)
    arguments = loss, *shapes_of(images, kernel)
    of_cpu, of_cuda = (programs.operations(*arguments, platform=platform) for platform in ("cpu", "cuda"))
    assert of_cpu == of_cuda and "dot_general" in of_cpu
