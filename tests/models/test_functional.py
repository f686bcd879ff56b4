import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors, models


def test_small_cnn_has_its_parameters_and_shapes():
    params, apply_fn = models.create("small_cnn", 8, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 94_280
    for size in (1, 9, 32, 72):
        assert apply_fn(params, jnp.ones((2, size, size, 3))).shape == (2, 8)


def test_parameters_are_plain_dicts_and_the_function_is_pure():
    params, apply_fn = models.create("small_cnn", 8, jax.random.key(0))
    assert type(params) is dict
    images = jnp.ones((2, 32, 32, 3))
    before = jax.tree.map(np.array, params)
    np.testing.assert_array_equal(apply_fn(params, images), jax.jit(apply_fn)(params, images))
    jax.tree.map(np.testing.assert_array_equal, params, before)
    zeros = jax.tree.map(jnp.zeros_like, params)
    np.testing.assert_array_equal(apply_fn(zeros, images), np.zeros((2, 8)))


def test_key_decides_the_weights():
    one, _ = models.create("small_cnn", 8, jax.random.key(0))
    same, _ = models.create("small_cnn", 8, jax.random.key(0))
    other, _ = models.create("small_cnn", 8, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_unknown_network_and_too_small_images_are_user_errors():
    with pytest.raises(
        errors.UserError, match="unknown model 'resnet'; there are: alexnet, resnet18, resnet50, small_cnn"
    ):
        models.check("resnet", 224)
    with pytest.raises(errors.UserError, match="--image-size=32: alexnet needs at least 63"):
        models.check("alexnet", 32)


def test_alexnets_smallest_image_is_really_the_smallest():
    params, apply_fn = models.create("alexnet", 3, jax.random.key(0))
    smallest = models.SMALLEST_IMAGE["alexnet"]
    assert jax.eval_shape(apply_fn, params, jnp.ones((1, smallest, smallest, 3))).shape == (1, 3)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        jax.eval_shape(apply_fn, params, jnp.ones((1, smallest - 1, smallest - 1, 3)))
