import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.models.fast import depthwise, plain
from tests import quick


@pytest.mark.parametrize(
    ("taps", "stride", "padding"),
    [(3, 1, ((1, 1), (1, 1))), (3, 2, ((0, 1), (1, 0))), (5, 2, ((1, 2), (2, 2))), (5, 1, ((2, 2), (2, 2)))],
)
def test_result_and_gradients_are_those_of_a_grouped_convolution(taps, stride, padding):
    rng = np.random.default_rng(taps)
    x = rng.normal(size=(3, 2, 9, 10, 4)).astype(np.float32)  # two images of each of three domains
    kernel = rng.normal(size=(taps, taps, 1, 4)).astype(np.float32)

    def loss(form, x, kernel):
        y = jax.vmap(form, (0, None, None, None))(x, kernel, stride, padding)
        return jnp.sum(jnp.sin(y)), y

    def of(form):
        return quick.jit(jax.value_and_grad(lambda *args: loss(form, *args), (0, 1), has_aux=True))(x, kernel)

    ours, expected = of(depthwise.convolve_depthwise), of(plain.convolve_depthwise)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
