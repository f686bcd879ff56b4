import jax
import numpy as np
import pytest

from dg_jax.data import dataset, sampling
from tests import quick

sample_indices = quick.jit(sampling.sample_indices, static_argnums=(2, 3))


@pytest.mark.parametrize(("num_images", "batch_size"), [(10, 3), (12, 4), (5, 5), (7, 1)])
def test_an_epoch_draws_without_replacement_and_the_next_is_shuffled_anew(num_images, batch_size):
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


def test_each_source_is_sampled_by_itself_and_normalised():
    rng = np.random.default_rng(0)
    sources = [
        dataset.Part(rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8), np.arange(n, dtype=np.int32)) for n in (8, 11)
    ]
    on_device = jax.device_put(sources)
    batch = quick.jit(sampling.sample_domain_batch, static_argnums=3)(on_device, jax.random.key(0), 5, 4)
    batch = jax.device_get(batch)
    assert batch["image"].shape == (2, 4, 4, 4, 3)
    assert batch["image"].dtype == np.float32
    for i, source in enumerate(sources):
        chosen = np.asarray(batch["label"][i])
        pixels = source.image[chosen] / 255
        expected = (pixels - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
        np.testing.assert_allclose(batch["image"][i], expected, atol=1e-5)
    assert batch["label"][0].tolist() != batch["label"][1].tolist()


def test_a_single_domain_batch_is_of_one_source_drawn_anew_at_each_step_without_replacement():
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
        pixels = np.asarray(batch["image"])[..., 0, 0, 0] * sampling.IMAGENET_STD[0] + sampling.IMAGENET_MEAN[0]
        pictures = np.rint(255 * pixels).astype(int).ravel()
        assert len(set(pictures.tolist())) == 12
        assert set(pictures // 50) == source
        chosen += source
    counts = np.bincount(chosen, minlength=3)
    assert counts.sum() == 60 and counts.min() > 8
