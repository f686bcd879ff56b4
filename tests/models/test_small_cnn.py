import jax
import numpy as np
from flax import nnx
from jax import lax

from dg_jax.models import SmallCNN


def test_three_convolutions_a_mean_and_a_dense_layer():
    module = SmallCNN(8, rngs=nnx.Rngs(0))
    params = nnx.state(module, nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 94_280
    images = np.random.default_rng(0).normal(size=(2, 20, 13, 3)).astype(np.float32)
    x = images
    for conv in (module.conv1, module.conv2, module.conv3):
        x = lax.conv_general_dilated(
            x, conv.kernel[...], (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = np.maximum(x + conv.bias[...], 0)
    expected = x.mean(axis=(1, 2)) @ module.dense.kernel[...] + module.dense.bias[...]
    np.testing.assert_allclose(module(images), expected, rtol=1e-4, atol=1e-5)
