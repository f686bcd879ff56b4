import jax
import numpy as np
from flax import nnx

from dg_jax.models import MLP


def test_three_hidden_layers_with_leaky_relu():
    module = MLP(3, inputs=6, rngs=nnx.Rngs(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))) == 7 * 64 + 2 * 65 * 64 + 65 * 3
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = x.reshape(5, 6)
    for layer in (module.dense1, module.dense2, module.dense3):
        expected = expected @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
        expected = np.where(expected > 0, expected, 0.01 * expected)
    np.testing.assert_allclose(module.features(x), expected, rtol=1e-4, atol=1e-5)
    expected = expected @ np.asarray(module.dense4.kernel[...]) + np.asarray(module.dense4.bias[...])
    np.testing.assert_allclose(module(x), expected, rtol=1e-4, atol=1e-5)
