"""The form in which every dataset reaches the training loop."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """Images of one domain that belong together.

    Attributes:
        image: uint8 ``[n, H, W, 3]``.
        label: int32 ``[n]``.
    """

    image: np.ndarray
    label: np.ndarray


@dataclasses.dataclass(frozen=True)
class MultiDomainDataset:
    """A dataset in memory, split.

    Attributes:
        name: what ``--dataset`` calls it.
        classes: names of the classes, in the order of the labels.
        domains: for each domain its parts ``"train"``, ``"validation"`` and ``"test"``.
    """

    name: str
    classes: tuple[str, ...]
    domains: dict[str, dict[str, Part]]


def concatenate(parts: list[Part]) -> Part:
    """Pools parts into one."""
    return Part(np.concatenate([part.image for part in parts]), np.concatenate([part.label for part in parts]))
