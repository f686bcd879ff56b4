import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models
from dg_jax.models import layers
from tests import quick
from tests.models import networks

PARAMETERS = {"resnet18": 11_180_103, "resnet50": 23_522_375}


def abstract(name):
    functions = []

    def build():
        params, apply_fn = models.create(name, 7, jax.random.key(0))
        functions.append(apply_fn)
        return params

    return jax.eval_shape(build)


@pytest.mark.parametrize("name", PARAMETERS)
def test_has_the_published_number_of_parameters_and_no_statistics_among_them(name):
    params = abstract(name)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
    assert type(params["layer1"]["block0"]["conv1"]) is dict
    assert params["layer1"]["block0"]["bn1"].keys() == {"scale", "bias"}
    assert params["conv1"].keys() == {"kernel"}


@pytest.fixture(scope="module")
def resnet18():
    return networks.random("resnet18", 7)


@pytest.mark.parametrize("size", [1, 2, 33, 64])
def test_takes_images_of_any_size(resnet18, size):
    params, apply_fn = resnet18
    assert models.SMALLEST_IMAGE["resnet18"] == models.SMALLEST_IMAGE["resnet50"] == 1
    assert jax.eval_shape(apply_fn, params, jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)).shape == (2, 7)


def test_training_computes_what_evaluation_does_and_each_image_by_itself(resnet18):
    params, apply_fn = resnet18
    images = np.random.default_rng(0).normal(size=(3, 33, 33, 3)).astype(np.float32)
    evaluation = quick.jit(apply_fn)
    logits = evaluation(params, images)
    training = quick.jit(lambda params, images: apply_fn(params, images, key=jax.random.key(0), train=True))
    np.testing.assert_array_equal(logits, training(params, images))
    others = np.concatenate([images[:1], 100 * images[1:]])
    np.testing.assert_allclose(logits[0], evaluation(params, others)[0], rtol=1e-4)


def test_weights_start_as_in_torchvision():
    @quick.jit
    def start():
        params, _ = models.create("resnet18", 7, jax.random.key(0))
        return {"bn1": params["bn1"], "conv1": params["conv1"], "layer2": params["layer2"]["block0"]["conv1"]}

    params = start()  # XLA does not compute what is not returned
    for layer, fan_out in ((params["conv1"], 64 * 49), (params["layer2"], 128 * 9)):
        np.testing.assert_allclose(np.std(layer["kernel"]), np.sqrt(2 / fan_out), rtol=0.02)
    np.testing.assert_array_equal(params["bn1"]["scale"], np.ones(64))
    np.testing.assert_array_equal(params["bn1"]["bias"], np.zeros(64))


def test_frozen_batch_norm_is_its_formula():
    rng = np.random.default_rng(0)
    layer = layers.FrozenBatchNorm(5)
    mean, scale, bias = rng.normal(size=(3, 5)).astype(np.float32)
    var = rng.uniform(0, 2, 5).astype(np.float32)
    layer.mean[...], layer.var[...], layer.scale[...], layer.bias[...] = map(jnp.asarray, (mean, var, scale, bias))
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    expected = (x - mean) / np.sqrt(var + 1e-5) * scale + bias
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)
