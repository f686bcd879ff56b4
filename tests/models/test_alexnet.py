import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models


@pytest.fixture(scope="module")
def alexnet():
    return models.create("alexnet", 7, jax.random.key(0))


def test_has_the_published_number_of_parameters(alexnet):
    params, _ = alexnet
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 57_032_519


@pytest.mark.parametrize("size", [227, 224, 64])
def test_logits_for_the_sizes_in_use(alexnet, size):
    params, apply_fn = alexnet
    logits = jax.eval_shape(apply_fn, params, jnp.ones((2, size, size, 3)))
    assert logits.shape == (2, 7)


def test_feature_map_is_6_by_6_without_averaging_at_224(alexnet):
    params, _ = alexnet
    assert params["dense1"]["kernel"].shape == (6 * 6 * 256, 4096)
    assert params["conv1"]["kernel"].shape == (11, 11, 3, 64)


def test_dropout_is_drawn_from_the_key_and_only_in_training(alexnet):
    params, apply_fn = alexnet
    images = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))

    def logits(seed, train):
        return np.asarray(apply_fn(params, images, key=jax.random.key(seed), train=train))

    np.testing.assert_array_equal(logits(0, True), logits(0, True))
    assert np.any(logits(0, True) != logits(1, True))
    np.testing.assert_array_equal(logits(0, False), logits(1, False))
    np.testing.assert_array_equal(logits(0, False), np.asarray(apply_fn(params, images)))


def test_last_layer_starts_as_in_pytorch(alexnet):
    params, _ = alexnet
    bound = 1 / np.sqrt(4096)
    for name in ("kernel", "bias"):
        values = np.asarray(params["dense3"][name])
        assert np.abs(values).max() <= bound
    kernel = np.asarray(params["dense3"]["kernel"])
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * bound)
