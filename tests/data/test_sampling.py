import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.data import dataset, sampling
from tests import quick

sample_indices = quick.jit(sampling.sample_indices, static_argnums=(2, 3))


@pytest.mark.parametrize(("num_images", "batch_size"), [(10, 3), (12, 4), (5, 5), (7, 1)])
def test_an_epoch_draws_without_replacement_and_the_next_is_shuffled_again(num_images, batch_size):
    key = jax.random.key(0)
    steps = num_images // batch_size
    epochs = []
    for epoch in range(3):
        drawn = np.concatenate([sample_indices(key, epoch * steps + k, num_images, batch_size) for k in range(steps)])
        assert len(set(drawn.tolist())) == steps * batch_size
        assert set(drawn.tolist()) <= set(range(num_images))
        epochs.append(drawn.tolist())
    assert epochs[0] != epochs[1] != epochs[2]


def test_all_images_come_up_over_the_epochs():
    drawn = [sample_indices(jax.random.key(0), step, 10, 3) for step in range(30)]
    assert set(np.concatenate(drawn).tolist()) == set(range(10))


def test_each_source_is_sampled_by_itself():
    rng = np.random.default_rng(0)
    sources = [
        dataset.Part(rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8), np.arange(n, dtype=np.int32)) for n in (8, 11)
    ]
    on_device = jax.device_put(sources)
    batch = quick.jit(sampling.sample_domain_batch, static_argnums=3)(on_device, jax.random.key(0), 5, 4)
    batch = jax.device_get(batch)
    for i, source in enumerate(sources):
        np.testing.assert_array_equal(batch["image"][i], source.image[np.asarray(batch["label"][i])])
    assert batch["label"][0].tolist() != batch["label"][1].tolist()


def test_a_source_smaller_than_a_batch_is_drawn_from_with_replacement():
    draw = quick.jit(sampling.sample_indices, static_argnums=(2, 3))
    drawn = np.stack([draw(jax.random.key(0), step, 3, 8) for step in range(300)])
    assert drawn.shape == (300, 8) and np.ptp(drawn, axis=0).min() > 0
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, [1 / 3] * 3, atol=0.04)


def test_images_are_changed_and_normalised_and_floats_are_left_alone():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    ready = sampling.network_input(jnp.asarray(images))
    assert ready.dtype == np.float32
    np.testing.assert_allclose(ready, (images / 255 - mean) / deviation, atol=1e-5)
    halved = sampling.network_input(jnp.asarray(images), lambda given: given / 2)
    np.testing.assert_allclose(halved, (images / 510 - mean) / deviation, atol=1e-5)
    vectors = jnp.ones((2, 5))
    assert sampling.network_input(vectors, lambda given: given / 2) is vectors


def test_a_single_domain_batch_is_of_one_source_drawn_again_at_each_step_without_replacement():
    sources = []
    for i, n in enumerate((13, 12, 20)):
        numbers = 50 * i + np.arange(n)  # the value of every pixel tells the source and the image
        image = np.broadcast_to(numbers[:, None, None, None], (n, 2, 2, 3)).astype(np.uint8)
        sources.append(jax.device_put(dataset.Part(image, np.full(n, i))))
    draw = quick.jit(lambda step: sampling.sample_single_domain_batch(sources, jax.random.key(0), step, 4))
    chosen = []
    for step in range(60):
        batch = draw(step)
        assert batch["image"].shape == (3, 4, 2, 2, 3)
        source = {*np.asarray(batch["label"]).ravel().tolist()}
        assert len(source) == 1
        pictures = np.asarray(batch["image"])[..., 0, 0, 0].astype(int).ravel()
        assert len(set(pictures.tolist())) == 12
        assert set(pictures // 50) == source
        chosen += source
    counts = np.bincount(chosen, minlength=3)
    assert counts.sum() == 60 and counts.min() > 8


@pytest.mark.filterwarnings("error")
def test_numpy_images_are_normalised_in_float32_as_those_on_the_device():
    images = np.arange(2 * 3 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 3)
    given = sampling.network_input(images)
    assert given.dtype == jnp.float32
    np.testing.assert_allclose(given, sampling.network_input(jnp.asarray(images)), rtol=1e-6)
