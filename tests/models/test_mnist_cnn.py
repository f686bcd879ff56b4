import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models


@pytest.mark.parametrize(("channels", "classes", "count"), [(2, 2, 371_394), (1, 10, 371_850)])
def test_parameters_for_the_channels_of_an_example(channels, classes, count):
    params = jax.eval_shape(lambda: models.create("mnist_cnn", classes, jax.random.key(0), shape=(28, 28, channels))[0])
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count


def test_images_of_any_size():
    params, apply_fn = models.create("mnist_cnn", 3, jax.random.key(0), shape=(9, 9, 2))
    for size in (1, 9, 28):
        assert jax.eval_shape(apply_fn, params, jnp.ones((2, size, size, 2))).shape == (2, 3)
