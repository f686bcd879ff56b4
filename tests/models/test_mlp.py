import jax
import numpy as np
import pytest
from flax import nnx

from dg_jax import models
from dg_jax.models import MLP


@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 5])
def test_hidden_layers_with_leaky_relu(hidden_layers):
    module = MLP(3, inputs=6, hidden_layers=hidden_layers, rngs=nnx.Rngs(0))
    size = 7 * 64 + (hidden_layers - 1) * 65 * 64 + 65 * 3
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))) == size
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    expected = x.reshape(5, 6)
    for number in range(hidden_layers):
        layer = getattr(module, f"dense{number + 1}")
        expected = expected @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
        expected = np.where(expected > 0, expected, 0.01 * expected)
    np.testing.assert_allclose(module.features(x), expected, rtol=1e-4, atol=1e-5)
    last = getattr(module, module.last_layer)
    expected = expected @ np.asarray(last.kernel[...]) + np.asarray(last.bias[...])
    np.testing.assert_allclose(module(x), expected, rtol=1e-4, atol=1e-5)


def test_three_by_default_and_as_the_configuration_says():
    assert MLP(2, rngs=nnx.Rngs(0)).last_layer == "dense4"
    params, apply_fn = models.create("mlp", 2, jax.random.key(0), hidden_layers=1)
    assert sorted(params) == ["dense1", "dense2"]
    assert apply_fn(params, np.ones((4, 18), np.float32), key=None, train=False).shape == (4, 2)
