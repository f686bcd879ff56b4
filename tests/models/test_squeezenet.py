import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models
from tests.models import networks


def test_parameters_shapes_and_the_smallest_image():
    params, apply_fn = networks.random("squeezenet", 8)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 726_600
    smallest = models.SMALLEST_IMAGE["squeezenet"]
    for size in (smallest, 96):
        images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        assert jax.eval_shape(apply_fn, params, images).shape == (2, 8)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        jax.eval_shape(apply_fn, params, np.ones((1, smallest - 1, smallest - 1, 3), np.float32))


def test_dropout_is_on_in_training_only():
    params, apply_fn = networks.random("squeezenet", 3)
    images = np.random.default_rng(0).normal(size=(2, 31, 31, 3)).astype(np.float32)
    calm, again = (apply_fn.features(params, images, key=jax.random.key(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(calm, again)
    dropped = apply_fn.features(params, images, key=jax.random.key(0), train=True)
    share = float(jnp.mean(dropped[calm > 0] == 0))
    assert 0.3 < share < 0.7  # the map is one pixel here
