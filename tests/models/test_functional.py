import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors, models
from dg_jax.models import functional
from tests import programs, quick
from tests.models import networks


def test_small_cnn_has_its_parameters_and_shapes():
    params, apply_fn = networks.random("small_cnn", 8)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 94_280
    for size in (1, 9, 32, 72):
        images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        assert jax.eval_shape(apply_fn, params, images).shape == (2, 8)


def test_parameters_are_plain_dicts_and_the_function_is_pure():
    params, apply_fn = models.create("small_cnn", 8, jax.random.key(0))
    assert type(params) is dict
    images = np.ones((2, 32, 32, 3), np.float32)
    before = jax.tree.map(np.array, params)
    np.testing.assert_array_equal(apply_fn(params, images), jax.jit(apply_fn)(params, images))
    jax.tree.map(np.testing.assert_array_equal, params, before)
    zeros = jax.tree.map(np.zeros_like, before)
    np.testing.assert_array_equal(apply_fn(zeros, images), np.zeros((2, 8)))


def test_key_decides_the_weights():
    one, _ = models.create("small_cnn", 8, jax.random.key(0))
    same, _ = models.create("small_cnn", 8, jax.random.key(0))
    other, _ = models.create("small_cnn", 8, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_unknown_network_and_too_small_images_are_user_errors():
    with pytest.raises(
        errors.UserError,
        match="unknown model 'resnet'; there are: alexnet, efficientnet_lite0, mlp, mnist_cnn, resnet18, resnet50, sm",
    ):
        models.check("resnet", 224)
    with pytest.raises(errors.UserError, match="--image-size=32: alexnet needs at least 63"):
        models.check("alexnet", 32)


def test_alexnets_smallest_image_is_really_the_smallest():
    params, apply_fn = networks.random("alexnet", 3)
    smallest = models.SMALLEST_IMAGE["alexnet"]
    assert jax.eval_shape(apply_fn, params, np.ones((1, smallest, smallest, 3), np.float32)).shape == (1, 3)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        jax.eval_shape(apply_fn, params, np.ones((1, smallest - 1, smallest - 1, 3), np.float32))


def test_in_bfloat16_the_network_computes_in_it_and_parameters_gradients_and_logits_stay_float32():
    params, plain = models.create("small_cnn", 8, jax.random.key(0))
    same, low = models.create("small_cnn", 8, jax.random.key(0), dtype="bfloat16")
    jax.tree.map(np.testing.assert_array_equal, params, same)
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)

    @functools.partial(quick.jit, static_argnums=1)
    def logits_and_gradients(params, apply_fn):
        def loss(params):
            logits = apply_fn(params, images)
            return jnp.sum(logits**2), logits

        gradients, logits = jax.grad(loss, has_aux=True)(params)
        return logits, gradients

    logits, gradients = jax.device_get(logits_and_gradients(params, low))
    exact_logits, exact = jax.device_get(logits_and_gradients(params, plain))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves((logits, gradients)))
    # bfloat16 has 8 bits of precision: some difference must show, but no more than that.
    assert 1e-5 < np.max(np.abs(logits - exact_logits)) < 0.05
    flat, flat_exact = (np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]) for tree in (gradients, exact))
    assert np.linalg.norm(flat - flat_exact) < 0.05 * np.linalg.norm(flat_exact)
    assert programs.products(low, params, images) == {"bf16"}


def test_resnets_normalisation_keeps_bfloat16():
    params, plain = networks.random("resnet18", 3)
    apply_fn = functional.computing_in(plain, "bfloat16")
    shape = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    assert programs.products(apply_fn, params, shape) == {"bf16"}
