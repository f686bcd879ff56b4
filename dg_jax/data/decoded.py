"""Keeps the decoded pictures of a domain on disk, so that they are decoded only once."""

import os
import pathlib

import numpy as np

from dg_jax import errors
from dg_jax.data import dataset, lock


def open_or_decode(file: pathlib.Path, stored: dataset.StoredPart) -> dataset.Part:
    """Opens the pictures kept in a file; if they are not there, decodes and keeps them.

    If they cannot be kept, say because the disk is full or the folder is read-only, a warning says so.

    Args:
        file: a ``.npy`` file of uint8 ``[n, H, W, 3]``, for these pictures only. A file of another
            shape, or one that is cut off, is written again.
        stored: the same pictures, not yet decoded.

    Returns:
        A part whose images are mapped from the file, or in memory if they have just been decoded.
    """
    images = mapped(file, stored)
    if images is None:
        try:
            with lock.locked(file.parent):
                images = mapped(file, stored)  # while this process waited, another may have kept them
                if images is None:
                    images = stored.in_memory().image
                    _write(file, images)
        except OSError as error:
            errors.warn(
                f"decoded pictures cannot be kept in {file.parent}: {error.strerror}; "
                "they are decoded again each time that they are opened"
            )
    return stored.in_memory() if images is None else dataset.Part(images, stored.label)


def mapped(file: pathlib.Path, stored: dataset.StoredPart) -> np.ndarray | None:
    shape = (len(stored.label), stored.image_size, stored.image_size, 3)
    try:
        images = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError):  # missing, cut off, or not a .npy file
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


def _write(file: pathlib.Path, images: np.ndarray) -> None:
    """Writes the file by rename, so that it is complete or absent."""
    unfinished = file.with_name(file.name + ".tmp")
    try:
        with unfinished.open("wb") as opened:
            # Not np.save, whose error does not say that the disk is full.
            np.lib.format.write_array_header_1_0(opened, np.lib.format.header_data_from_array_1_0(images))
            opened.write(images.data)
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
