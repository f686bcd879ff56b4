"""Gradients of large convolutions under ``vmap``."""

import re

import jax
import jax.numpy as jnp
import pytest

from dg_jax.models.fast import convolution, large, on_accelerator, on_cpu
from tests import programs, quick
from tests.models.fast.cases import SHAPES, assert_close, case, loss_of, precise

FORMS = [on_cpu.convolve_large, on_accelerator.convolve_large]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kernel_axis", [None, 0])
def test_gradients_and_second_gradients_under_vmap_equal_xlas(form, kernel_axis):
    """One kernel for all domains, or one for each seed; second-order MLDG takes the second gradients."""
    images, kernel, stride, pad = SHAPES[2]
    x, kernels = case((4, *images), (4, *kernel))
    kernels = kernels[0] if kernel_axis is None else kernels

    def gradients(convolve):
        first = jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1))
        second = jax.grad(lambda x, kernel: jnp.sum(first(x, kernel)[1] ** 2), argnums=(0, 1))
        return jax.vmap(lambda x, kernel: (first(x, kernel), second(x, kernel)), in_axes=(0, kernel_axis))

    ours, expected = (quick.jit(gradients(convolve))(x, kernels) for convolve in (form, precise))
    assert_close(ours, expected, rtol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_under_vmap_over_seeds_and_domains_gradients_equal_xlas(form):
    images, kernel, stride, pad = SHAPES[2]
    x, kernels = case((2, 3, *images), (2, *kernel))

    def gradients(convolve):
        of_one = jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1))
        return jax.vmap(jax.vmap(of_one, in_axes=(0, None)))

    ours, expected = (quick.jit(gradients(convolve))(x, kernels) for convolve in (form, precise))
    assert_close(ours, expected, rtol=1e-3)


def groups(function, *arguments, platform="cpu"):
    """The group counts of all convolutions that XLA gets."""
    text = programs.text(function, *arguments, platform=platform)
    return set(map(int, re.findall(r"(?:batch|feature)_group_count = (\d+)", text)))


@pytest.mark.parametrize("form", [*FORMS, on_accelerator.over_blocks])
def test_under_vmap_with_one_kernel_no_convolution_is_grouped(form):
    images, kernel, stride, pad = SHAPES[2]
    x, weights = case((4, *images), kernel)

    def gradients(convolve):
        return jax.vmap(jax.grad(loss_of(convolve, stride, pad), argnums=(0, 1)), in_axes=(0, None))

    assert groups(gradients(precise), x, weights) == {1, 4}
    assert groups(gradients(form), x, weights) == {1}


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_the_same_holds_where_the_device_chooses_the_form(monkeypatch, platform):
    monkeypatch.setattr(large, "LARGE", 0)
    for images, kernel, stride, pad in SHAPES[:3]:
        x, weights = case((4, *images), kernel)
        of_one = jax.grad(loss_of(convolution.convolve, stride, pad), argnums=(0, 1))
        assert groups(jax.vmap(of_one, in_axes=(0, None)), x, weights, platform=platform) <= {1}
