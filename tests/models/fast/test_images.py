import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dg_jax.models.fast import images, plain
from tests import programs, quick


def gradients(repeat):
    """The gradients of a bias, one for each domain."""
    of_one = jax.grad(lambda bias, weights: jnp.sum((weights + repeat(bias, weights)) ** 2))
    return jax.vmap(of_one, in_axes=(None, 0))


BIAS = np.arange(3, dtype=np.float32)


# XLA:CPU can also run the form of the accelerators, though it does not need it.
@pytest.mark.parametrize("on_cpu", [images.unchanged, lax.optimization_barrier])
def test_repeats_and_sums_as_the_plain_form(monkeypatch, on_cpu):
    monkeypatch.setattr(images, "unchanged", on_cpu)
    weights = np.random.default_rng(0).normal(size=(2, 4, 5, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(form.for_each_image(BIAS, weights[0]) for form in (images, plain)))
    ours, expected = (quick.jit(gradients(form.for_each_image))(BIAS, weights) for form in (images, plain))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(ours, 2 * np.sum(weights + BIAS, axis=(1, 2, 3)), rtol=1e-5)


def test_on_accelerators_alone_the_gradient_is_apart():
    arguments = gradients(images.for_each_image), BIAS, np.ones((2, 4, 5, 5, 3), np.float32)
    for platform, is_apart in (("cpu", False), ("cuda", True), ("tpu", True)):
        assert ("optimization_barrier" in programs.operations(*arguments, platform=platform)) == is_apart
