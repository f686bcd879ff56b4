"""SqueezeNet, EfficientNet-Lite0 and MnistCNN against PyTorch, with weights of the size of published ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dg_jax import models
from dg_jax.models import weights
from tests import quick
from tests.models import torch_statements


def module_of(name, number):
    """A network in which every layer matters: activations are of the order of 1."""
    module = nnx.eval_shape(lambda: models.MODELS[name](10, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(number)
    for name, variable in weights.named_arrays(module).items():
        shape, leaf = variable.shape, name.rpartition(".")[2]
        fan_in = np.prod(shape[:-1])
        spread = {"kernel": np.sqrt(2 / fan_in), "bias": 0.1, "mean": 0.1}.get(leaf, 0.1)
        values = rng.normal(size=shape) * spread + (leaf in ("scale", "var"))
        variable.set_value(jnp.asarray(values, jnp.float64))
    return module


@pytest.mark.parametrize(("name", "size"), [("squeezenet", 64), ("efficientnet_lite0", 41), ("mnist_cnn", 15)])
def test_logits_and_gradient_of_every_parameter(name, size):
    with jax.enable_x64(True):
        module = module_of(name, size)
        images = np.random.default_rng(size).normal(size=(3, size, size, 3))
        arrays = {name: np.asarray(variable[...]) for name, variable in weights.named_arrays(module).items()}
        params, apply_fn = models.split(module)

        def loss(params):
            logits = apply_fn(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, np.arange(3)).mean(), logits

        ours, logits = quick.jit(jax.grad(loss, has_aux=True))(params)
    expected, gradients = torch_statements.logits_and_gradients(getattr(torch_statements, name), arrays, images)
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    named = {name: np.asarray(gradient) for name, gradient in models.named(ours).items()}
    assert named.keys() == gradients.keys()
    for name, gradient in named.items():
        largest = np.abs(gradients[name]).max()
        assert largest > 1e-9, name
        assert np.abs(gradient - gradients[name]).max() < 1e-4 * largest, name
