import io

import numpy as np
from PIL import Image

from dg_jax.data import dataset


class Records(list):
    """Encoded pictures, with the interface of a data source of TFDS."""

    def __getitems__(self, numbers):
        return [self[number] for number in numbers]


def encoded(value):
    """A picture of one colour as PNG."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "PNG")
    return {"image": file.getvalue()}


def parts():
    label = np.arange(40, dtype=np.int32)[::2] % 3
    stored = dataset.StoredPart(Records(map(encoded, range(40))), np.arange(0, 40, 2), label, 4)
    images = np.broadcast_to(np.arange(0, 40, 2, dtype=np.uint8)[:, None, None, None], (20, 4, 4, 3))
    return stored, dataset.Part(images, label)


def test_rows_come_in_the_order_given_from_memory_and_from_disk():
    rows = np.array([7, 0, 19, 7])
    for part in parts():
        read = part.read(rows)
        np.testing.assert_array_equal(read.image[:, 0, 0, 0], 2 * rows)
        np.testing.assert_array_equal(read.label, part.label[rows])


def test_what_is_read_into_memory_is_the_same():
    stored, held = parts()
    whole = stored.in_memory()
    np.testing.assert_array_equal(whole.image, held.image)
    np.testing.assert_array_equal(whole.label, held.label)


def test_chosen_rows_are_copies():
    _, held = parts()
    some = dataset.chosen(held, np.array([3, 1]))
    some.image[:] = 0
    np.testing.assert_array_equal(held.image[[3, 1], 0, 0, 0], [6, 2])


def test_pooled_parts_follow_one_another_and_one_is_not_copied():
    _, held = parts()
    assert dataset.concatenate([held]) is held
    both = dataset.concatenate([held, held])
    np.testing.assert_array_equal(both.image, np.concatenate([held.image, held.image]))
    np.testing.assert_array_equal(both.label, np.tile(held.label, 2))
