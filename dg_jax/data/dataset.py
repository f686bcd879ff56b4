"""The form in which the training loop gets every dataset."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import numpy as np

from dg_jax.data import picture, resize

# Few, so that decoding takes little new memory: the first use of new memory is slow.
_ROWS_AT_ONCE = 16


class Part(NamedTuple):
    """Examples of one domain that belong together, in memory.

    Attributes:
        image: uint8 ``[n, H, W, 3]``; floats ``[n, ...]`` too, if the caller gives arrays.
        label: int32 ``[n]``.
    """

    image: chex.Array
    label: chex.Array

    def read(self, rows: np.ndarray) -> "Part":
        """Takes some rows, integers in ``[0, n)``, in the order given."""
        return Part(self.image[rows], self.label[rows])


@dataclasses.dataclass(frozen=True)
class StoredPart:
    """Images of one domain that belong together, read from disk when they are needed.

    Attributes:
        records: the domain's records: ``records.__getitems__(numbers)`` gives dicts with
            the encoded picture under ``"image"``: RGB, all of the same size.
        numbers: which of the records, integers ``[n]``.
        label: int32 ``[n]``.
        image_size: height and width to which pictures are resized, in pixels.
    """

    records: Sequence
    numbers: np.ndarray
    label: np.ndarray
    image_size: int

    def read(self, rows: np.ndarray) -> Part:
        """Reads some rows, integers in ``[0, n)``, in the order given."""
        records = self.records.__getitems__(self.numbers[rows].tolist())  # type: ignore[attr-defined]
        pictures = [picture.decode(record["image"]) for record in records]
        return Part(resize.bilinear(pictures, self.image_size), self.label[rows])

    def in_memory(self) -> Part:
        """Reads all rows, on all cores."""
        images = _aligned((len(self.label), self.image_size, self.image_size, 3))

        def read_into_place(start: int) -> None:
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(self.label)))
            images[rows] = self.read(rows).image

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read_into_place, range(0, len(self.label), _ROWS_AT_ONCE)))
        return Part(images, self.label)


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an empty uint8 array, aligned so that JAX on a CPU uses it without a copy."""
    size, alignment = int(np.prod(shape)), 64
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].reshape(shape)


def chosen(part: Part, rows: np.ndarray) -> Part:
    """Copies some rows of a part, integers in ``[0, n)``, into memory that JAX uses without another copy."""
    images = _aligned((len(rows), *part.image.shape[1:]))
    np.take(part.image, rows, axis=0, out=images, mode="clip")  # the default mode copies once more
    return Part(images, part.label[rows])


AnyPart = Part | StoredPart


@dataclasses.dataclass(frozen=True)
class MultiDomainDataset:
    """A dataset, split.

    Attributes:
        name: what ``--dataset`` calls it.
        classes: names of the classes, in the order of the labels.
        domains: for each domain those of the parts ``"train"``, ``"validation"`` and ``"test"``
            that were asked for; all in memory or all stored.
        left_out: damaged files, which were left out.
        inputs: each input that was read from a path -> SHA-256 of its contents, see
            :func:`dg_jax.data.prepared.identify`.
        watched: more parts, by name. A run records their accuracy at each validation, for
            information: nothing is chosen by it.
    """

    name: str
    classes: tuple[str, ...]
    domains: dict[str, dict[str, AnyPart]]
    left_out: tuple[str, ...] = ()
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    watched: dict[str, AnyPart] = dataclasses.field(default_factory=dict)

    @property
    def example(self) -> dict[str, Any]:
        """Shape and dtype of one example, as ``config.json`` has them."""
        part = next(part for parts in self.domains.values() for part in parts.values())
        if isinstance(part, StoredPart):
            return {"shape": [part.image_size, part.image_size, 3], "dtype": "uint8"}
        return {"shape": list(part.image.shape[1:]), "dtype": str(part.image.dtype)}


def concatenate(parts: Sequence[Part]) -> Part:
    """Pools parts into one; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Part(np.concatenate([part.image for part in parts]), np.concatenate([part.label for part in parts]))
