"""Images held on the device and images read from disk give the same batches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dg_jax.data import dataset, feed, picture

SIZE, BATCH = 6, 4


def parts(counts, seed=0):
    """The same parts in both forms: ``(in memory, stored)``."""
    rng = np.random.default_rng(seed)
    held, stored = [], []
    for count in counts:
        images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
        labels = rng.integers(0, 5, count).astype(np.int32)
        order = rng.permutation(count)
        records = Records([{"image": picture.to_png(Image.fromarray(image), SIZE)} for image in images[order]])
        held.append(dataset.Part(images, labels))
        stored.append(dataset.StoredPart(records, np.argsort(order), labels, SIZE))
    return held, stored


class Records(list):
    """Encoded pictures, with the interface of a data source of TFDS."""

    def __getitems__(self, numbers):
        return [self[number] for number in numbers]


def drawn(source_parts, first, count, **options):
    batches = feed.domain_batches(source_parts, jax.random.key(3), BATCH, **options)
    steps = zip(range(first, first + count), batches.values(first), strict=False)
    shapes = jax.tree.map(jnp.shape, batches.like)
    draw = jax.jit(batches.draw)
    for step, value in steps:
        assert jax.tree.map(jnp.shape, value) == shapes
        yield jax.tree.map(np.asarray, draw(value, step))


@pytest.mark.parametrize("first", [0, 5])
def test_read_batches_equal_held_ones_over_epochs(first):
    held, stored = parts((9, 13, 4))
    for one, other in zip(drawn(held, first, 7), drawn(stored, first, 7), strict=True):
        assert one["image"].shape == (3, BATCH, SIZE, SIZE, 3)
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])


@pytest.mark.parametrize("single_domain", [False, True])
def test_read_batches_of_a_source_that_is_too_small_and_of_changed_images_equal_held_ones(single_domain):
    held, stored = parts((9, 3))
    options = {"single_domain": single_domain, "augmented": True}
    for one, other in zip(drawn(held, 0, 5, **options), drawn(stored, 0, 5, **options), strict=True):
        np.testing.assert_allclose(one["image"], other["image"], atol=1e-6)
        np.testing.assert_array_equal(one["label"], other["label"])


def test_changed_images_are_other_ones_at_each_step_and_the_same_ones_again():
    held, _ = parts((4, 4))
    plain, changed, again = (list(drawn(held, 0, 3, augmented=on)) for on in (False, True, True))
    for one, other, repeated in zip(plain, changed, again, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])
        assert one["image"].shape == other["image"].shape and (one["image"] != other["image"]).any()
        np.testing.assert_array_equal(other["image"], repeated["image"])
    assert (changed[0]["image"].sum() != changed[1]["image"].sum()).all()


def test_read_single_domain_batches_equal_held_ones():
    held, stored = parts((13, 12))
    steps = zip(drawn(held, 3, 8, single_domain=True), drawn(stored, 3, 8, single_domain=True), strict=True)
    for one, other in steps:
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["label"], other["label"])


def test_a_stored_part_in_memory_is_the_part():
    held, stored = parts((150,))
    np.testing.assert_array_equal(stored[0].in_memory().image, held[0].image)
    np.testing.assert_array_equal(stored[0].in_memory().label, held[0].label)


@pytest.mark.parametrize("counts", [(9, 13, 4), (1,), (8, 4)])
def test_passes_visit_every_image_once_in_batches_of_one_shape(counts):
    held, stored = parts(counts)
    expected = dataset.concatenate(held)
    for source_parts in (held, stored):
        batches = feed.passes(source_parts, 8)
        for _ in range(2):
            visited = list(batches())
            assert {part.image.shape for part, _ in visited} == {(8, SIZE, SIZE, 3)}
            images = np.concatenate([np.asarray(part.image)[mask] for part, mask in visited])
            labels = np.concatenate([np.asarray(part.label)[mask] for part, mask in visited])
            np.testing.assert_array_equal(images, expected.image)
            np.testing.assert_array_equal(labels, expected.label)


def test_reading_stops_with_its_iterator():
    _, stored = parts((9, 13))
    batches = feed.domain_batches(stored, jax.random.key(0), BATCH).values(0)
    assert len(list(itertools.islice(batches, 3))) == 3
