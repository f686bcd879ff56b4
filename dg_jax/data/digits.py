"""ColoredMNIST and RotatedMNIST: digits in domains that differ in their colours or their angle, as in DomainBed."""

import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from dg_jax.data import dataset, idx

# For each domain, how often the colour is not that of the label.
FLIPPED = {"+90%": 0.1, "+80%": 0.2, "-90%": 0.9}
ANGLES = {f"{angle}°": angle for angle in range(0, 90, 15)}
LABEL_NOISE = 0.25
HELD_OUT = 0.2  # of each domain, for validation


def load_colored(parts: Mapping[str, tuple[str, ...]], seed: int, data_dir: pathlib.Path) -> dataset.MultiDomainDataset:
    """Loads ColoredMNIST: is a digit below 5? The colour predicts it better than the shape, but wrongly in ``-90%``.

    The label is whether the digit is below 5, and is wrong for a quarter of the pictures. The colour is that of the
    label except in one of ten (``+90%``), two of ten (``+80%``) or nine of ten (``-90%``).

    Args:
        parts: for each domain the parts to load. ``"train"`` and ``"test"`` are the same 80%, ``"validation"`` is
            the rest, as in DomainBed.
        seed: seed for the assignment of digits to domains, the noise, the colours, and what is held out.
        data_dir: the folder with MNIST's files, see :func:`dg_jax.data.idx.read`.

    Returns:
        Images uint8 ``[n, 28, 28, 2]``, red and green.

    Reference:
        Arjovsky et al., `Invariant Risk Minimization <https://arxiv.org/abs/1907.02893>`_, 2019, section 5.1, as in
        ``DomainBed/domainbed/datasets.py`` (Gulrajani and Lopez-Paz, https://arxiv.org/abs/2007.01434), which leaves
        the pictures at 28 px.
    """

    def coloured(domain: str, image: np.ndarray, digit: np.ndarray, rng: np.random.Generator):
        label = (digit < 5) ^ (rng.random(len(digit)) < LABEL_NOISE)
        colour = label ^ (rng.random(len(digit)) < FLIPPED[domain])
        return image[..., None] * np.stack([~colour, colour], axis=1)[:, None, None, :], label

    return _load("colored_mnist", ("5 to 9", "0 to 4"), tuple(FLIPPED), coloured, parts, seed, data_dir)


def load_rotated(parts: Mapping[str, tuple[str, ...]], seed: int, data_dir: pathlib.Path) -> dataset.MultiDomainDataset:
    """Loads RotatedMNIST: digits turned counter-clockwise by 0, 15, 30, 45, 60 and 75 degrees.

    Arguments are those of :func:`load_colored`.

    Returns:
        Images uint8 ``[n, 28, 28, 1]``.

    Reference:
        Ghifary et al., `Domain generalization for object recognition with multi-task autoencoders
        <https://arxiv.org/abs/1508.07680>`_, ICCV 2015, as in ``DomainBed/domainbed/datasets.py``: bicubic, black
        corners.
    """

    def turned(domain: str, image: np.ndarray, digit: np.ndarray, rng: np.random.Generator):
        del rng
        pictures = [Image.fromarray(one).rotate(ANGLES[domain], Image.Resampling.BICUBIC, fillcolor=0) for one in image]
        return np.stack([np.asarray(one) for one in pictures])[..., None], digit

    return _load("rotated_mnist", tuple("0123456789"), tuple(ANGLES), turned, parts, seed, data_dir)


def _load(name, classes, domains, change, parts, seed, data_dir) -> dataset.MultiDomainDataset:
    digits = idx.read(data_dir)
    order = np.random.default_rng(seed).permutation(len(digits.label))
    found: dict[str, dict[str, dataset.AnyPart]] = {}
    for domain, wanted in parts.items():
        place = domains.index(domain)
        rng = np.random.default_rng([seed, place])
        rows = order[place :: len(domains)]
        image, label = change(domain, digits.image[rows], digits.label[rows], rng)
        shuffled = rng.permutation(len(rows))
        held_out = int(len(rows) * HELD_OUT)
        of_part = {"train": shuffled[held_out:], "test": shuffled[held_out:], "validation": shuffled[:held_out]}
        whole = dataset.Part(image, label.astype(np.int32))
        found[domain] = {part: dataset.chosen(whole, of_part[part]) for part in wanted}
    return dataset.MultiDomainDataset(name, classes, found, inputs={"digits": digits.sha256})


def identify(data_dir: pathlib.Path) -> dict[str, str]:
    """Returns the SHA-256 of the files that both datasets read."""
    return {"digits": idx.read(data_dir).sha256}
