import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.models.fast import large, on_cpu, plain
from dg_jax.models.fast.matrix_product import as_matrix_product
from tests import programs, quick
from tests.models.fast.cases import SHAPES, assert_close, case, precise, shapes_of


def forms(taps):
    kernel = taps, taps, 3, 64
    return [on_cpu.choose(*shapes_of((num_images, 128, 128, 3), kernel), 4) for num_images in (1, 100, 512)]


def test_the_size_chooses_the_form():
    assert forms(5) == [as_matrix_product, plain.convolve, on_cpu.convolve_large]
    assert forms(7) == [plain.convolve, plain.convolve, on_cpu.convolve_large]


@pytest.mark.parametrize(("taps", "stride", "is_chosen"), [(3, 1, True), (5, 1, True), (7, 1, False), (3, 2, False)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_large_ones_of_stride_1_take_winograds_form(taps, stride, is_chosen, dtype):
    arguments = shapes_of((32, 64, 64, 64), (taps, taps, 64, 64), dtype)
    assert on_cpu.choose(*arguments, stride) is on_cpu.convolve_large

    def convolve(x, kernel):
        return on_cpu.convolve_large(x, kernel, stride, ((1, 1), (1, 1)))

    assert ("convolution" not in programs.operations(convolve, *arguments)) == (is_chosen and dtype == jnp.float32)


@pytest.mark.parametrize(("images", "kernel", "stride", "pad"), SHAPES)
def test_the_kernels_gradient_equals_xlas(images, kernel, stride, pad):
    x, weights = case(images, kernel)
    padding = ((pad, pad), (pad, pad))
    dy = np.random.default_rng(1).normal(size=precise(x, weights, stride, padding).shape).astype(np.float32)
    expected = jax.vjp(lambda kernel: precise(x, kernel, stride, padding), weights)[1](dy)[0]
    for form in (on_cpu.kernel_gradient, large.kernel_gradient):
        ours = quick.jit(form, static_argnums=(3, 4))(x, weights, dy, stride, padding)
        assert_close(ours, expected, rtol=1e-4)
