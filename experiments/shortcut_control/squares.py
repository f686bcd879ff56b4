"""A shortcut that holds in one domain only: a coloured square whose colour stands for the class."""

import colorsys
import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np

from dg_jax import errors
from dg_jax.data import dataset

# The square is in the upper left corner. Its side is the picture's divided by this, rounded down.
SIDE = 4


def colours(num_classes: int) -> np.ndarray:
    """Returns as many colours as classes, well apart: full saturation and brightness, at equal steps of the hue.

    Returns:
        uint8 ``[num_classes, 3]``.

    Example:
        >>> colours(3).tolist()
        [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    """
    hues = [colorsys.hsv_to_rgb(k / num_classes, 1, 1) for k in range(num_classes)]
    return np.rint(255 * np.array(hues)).astype(np.uint8)


def codes(domains: Sequence[str], num_classes: int, seed: int) -> dict[str, np.ndarray]:
    """Draws for each domain which colour stands for which class.

    Each code is a permutation, and no colour stands for the same class in two domains. So what
    a network learns from the squares of one domain is wrong in every other. The classes, in
    random order, are shifted by a random number, different in each domain, and then matched
    to colours in random order.

    Args:
        domains: their order has no influence.
        num_classes: how many classes and colours there are.
        seed: what to draw from.

    Returns:
        Domain -> number of the colour of each class, integers ``[num_classes]``.

    Raises:
        UserError: there are more domains than classes.
    """
    if len(domains) > num_classes:
        raise errors.UserError(
            f"a shortcut that no two domains share needs as many classes as domains, but there are {len(domains)} "
            f"domains and {num_classes} classes; name fewer --domains"
        )
    rng = np.random.default_rng([seed, zlib.crc32(b"shortcut")])
    order, colour, shifts = (rng.permutation(num_classes) for _ in range(3))
    return {
        domain: colour[(order + shift) % num_classes]
        for domain, shift in zip(sorted(domains), shifts[: len(domains)], strict=True)
    }


def pasted(part: dataset.Part, colour: np.ndarray, num_classes: int) -> dataset.Part:
    """Pastes a square into every picture.

    Args:
        part: the pictures; they are copied.
        colour: number of the colour of each picture, integers ``[n]``.
        num_classes: how many colours there are.
    """
    image, side = part.image.copy(), part.image.shape[1] // SIDE
    image[:, :side, :side] = colours(num_classes)[colour][:, None, None]
    return dataset.Part(image, part.label)


def add(data: dataset.MultiDomainDataset, target: str, strength: float, seed: int) -> dataset.MultiDomainDataset:
    """Pastes squares into all pictures of a run's dataset.

    In each source, in training and validation, the colour is right in a share of the pictures
    and a random other one in the rest. Pictures that are right at one strength are right at
    every higher one. Wrong pictures have the same colour at every strength. On the target all
    colours are equally likely. ``watched`` has the target's test pictures once for each source,
    under the source's name, with squares that are always right by that source's code.

    Args:
        data: in memory.
        target: the domain held out.
        strength: the share of a source's pictures in which the colour is right, in [0, 1].
        seed: of the run. Codes, right pictures and random colours follow from it.

    Raises:
        UserError: the pictures do not fit into memory, or there are more domains than classes.
    """
    num_classes = len(data.classes)
    code = codes(list(data.domains), num_classes, seed)

    def squared(domain: str, name: str, part: dataset.AnyPart) -> dataset.Part:
        if isinstance(part, dataset.StoredPart):
            raise errors.UserError(
                f"{data.name}: shortcuts are pasted into pictures that fit into memory; these do not"
            )
        rng = np.random.default_rng([seed, zlib.crc32(f"shortcut {domain} {name}".encode())])
        n = len(part.label)
        if domain == target:
            return pasted(part, rng.integers(num_classes, size=n), num_classes)
        is_right = rng.permutation(n) < round(strength * n)
        other = (code[domain][part.label] + rng.integers(1, num_classes, size=n)) % num_classes
        return pasted(part, np.where(is_right, code[domain][part.label], other), num_classes)

    test = data.domains[target]["test"]
    domains: dict[str, dict[str, dataset.AnyPart]] = {
        domain: {name: squared(domain, name, part) for name, part in parts.items()}
        for domain, parts in data.domains.items()
    }
    assert isinstance(test, dataset.Part)  # ``squared`` refuses any other
    watched: dict[str, dataset.AnyPart] = {
        domain: pasted(test, code[domain][test.label], num_classes) for domain in data.domains if domain != target
    }
    return dataclasses.replace(data, domains=domains, watched=watched)
