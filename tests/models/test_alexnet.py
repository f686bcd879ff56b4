import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models
from tests import quick
from tests.models import networks


@pytest.fixture(scope="module")
def alexnet():
    return networks.random("alexnet", 7)


def test_has_the_published_number_of_parameters(alexnet):
    params, _ = alexnet
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 57_032_519


@pytest.mark.parametrize("size", [227, 224, 64])
def test_logits_for_the_sizes_in_use(alexnet, size):
    params, apply_fn = alexnet
    logits = jax.eval_shape(apply_fn, params, jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32))
    assert logits.shape == (2, 7)


def test_feature_map_is_6_by_6_without_averaging_at_224(alexnet):
    params, _ = alexnet
    assert params["dense1"]["kernel"].shape == (6 * 6 * 256, 4096)
    assert params["conv1"]["kernel"].shape == (11, 11, 3, 64)


def test_dropout_is_drawn_from_the_key_and_only_in_training(alexnet):
    params, apply_fn = alexnet
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)

    @quick.jit
    def logits(params, key):
        training, evaluation = (apply_fn(params, images, key=key, train=train) for train in (True, False))
        return training, evaluation, apply_fn(params, images)

    (one, *evaluations), (same, *_), (other, *more) = (logits(params, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    for evaluation in (*evaluations, *more):
        np.testing.assert_array_equal(evaluation, evaluations[0])


def test_last_layer_starts_as_in_pytorch():
    # XLA does not compute what is not returned
    dense3 = quick.jit(lambda: models.create("alexnet", 7, jax.random.key(0))[0]["dense3"])()
    bound = 1 / np.sqrt(4096)
    for name in ("kernel", "bias"):
        values = np.asarray(dense3[name])
        assert np.abs(values).max() <= bound
    kernel = np.asarray(dense3["kernel"])
    np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * bound)
