"""Decoded pictures that are kept on disk."""

import errno
import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from dg_jax.data import dataset, decoded, picture
from tests.data.test_feed import Records

COUNT, STORED_SIZE, SIZE = 21, 12, 7


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pictures.npy"


@pytest.fixture
def stored():
    images = np.random.default_rng(0).integers(0, 256, (COUNT, STORED_SIZE, STORED_SIZE, 3), dtype=np.uint8)
    records = Records([{"image": picture.to_png(Image.fromarray(image), STORED_SIZE)} for image in images])
    return dataset.StoredPart(records, np.arange(COUNT), np.arange(COUNT, dtype=np.int32), SIZE)


@pytest.fixture
def expected(stored):
    with_pillow = [Image.open(io.BytesIO(record["image"])) for record in stored.records]
    return np.stack([np.asarray(picture.resized(one, SIZE)) for one in with_pillow])


@pytest.fixture
def decodings(monkeypatch):
    """A list that grows with each picture that is decoded."""
    done, decode = [], picture.decode
    monkeypatch.setattr(picture, "decode", lambda encoded: done.append(encoded) or decode(encoded))
    return done


def files_beside(file):
    return sorted(path.name for path in file.parent.iterdir() if not path.name.startswith("."))


def test_pictures_are_decoded_once_and_are_the_same_to_the_bit(file, stored, expected, decodings):
    for _ in range(3):
        part = decoded.open_or_decode(file, stored)
        assert part.image.dtype == np.uint8
        np.testing.assert_array_equal(part.image, expected)
        np.testing.assert_array_equal(part.label, stored.label)
    assert len(decodings) == COUNT
    assert isinstance(part.image, np.memmap)
    np.testing.assert_array_equal(np.load(file), expected)
    assert files_beside(file) == ["pictures.npy"]


def saved(array, **options):
    written = io.BytesIO()
    np.save(written, array, **options)
    return written.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:100],
        lambda whole: whole[:128],
        lambda whole: whole[:-1],
        lambda whole: bytes(len(whole)),
        lambda whole: saved(np.zeros((COUNT - 1, SIZE, SIZE, 3), np.uint8)),
        lambda whole: saved(np.zeros((COUNT, SIZE + 1, SIZE + 1, 3), np.uint8)),
        lambda whole: saved(np.zeros((COUNT, SIZE, SIZE, 3), np.int8)),
        lambda whole: saved(np.array([None]), allow_pickle=True),
    ],
    ids=["empty", "in header", "after header", "last byte", "zeros", "count", "size", "dtype", "objects"],
)
def test_a_file_that_is_cut_off_is_written_again(file, stored, expected, decodings, capsys, damage):
    decoded.open_or_decode(file, stored)
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        np.testing.assert_array_equal(decoded.open_or_decode(file, stored).image, expected)
    assert len(decodings) == 2 * COUNT
    assert capsys.readouterr().err == ""


def test_what_a_killed_process_left_is_no_hindrance(file, stored, expected):
    (file.parent / "pictures.npy.tmp").write_bytes(b"half")
    np.testing.assert_array_equal(decoded.open_or_decode(file, stored).image, expected)
    assert files_beside(file) == ["pictures.npy"]


def test_a_full_disk_is_a_warning_and_nothing_half_written(file, stored, expected, monkeypatch, capsys):
    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for name in ("pictures.npy", "others.npy"):
        np.testing.assert_array_equal(decoded.open_or_decode(file.with_name(name), stored).image, expected)
    assert files_beside(file) == []
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: decoded pictures cannot be kept in {file.parent}: No space left on device; ")


def test_a_folder_that_cannot_be_written_is_a_warning(file, stored, expected, capsys):
    (file.parent / ".lock").mkdir()
    for _ in range(2):
        np.testing.assert_array_equal(decoded.open_or_decode(file, stored).image, expected)
    assert files_beside(file) == []
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: decoded pictures cannot be kept in {file.parent}: Is a directory; ")


def test_two_readers_at_once_decode_only_once(file, stored, expected, decodings, monkeypatch):
    barrier, mapped = threading.Barrier(2), decoded.mapped
    first_looks = iter([barrier.wait] * 2)

    def looked(*args):  # none goes on before both have seen that there is no file
        found = mapped(*args)
        next(first_looks, lambda: None)()
        return found

    monkeypatch.setattr(decoded, "mapped", looked)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(decoded.open_or_decode(file, stored).image)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(decodings) == COUNT
    assert len(results) == 2
    for images in results:
        np.testing.assert_array_equal(images, expected)
