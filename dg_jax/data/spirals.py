"""Spirals: a task with a known answer, and shortcuts that are perfect in each environment but random in the test.

The two classes are the two arms of a spiral. Two coordinates lie on it, in the same way in all environments. The other
16 coordinates also give the class, but with a different code in each environment. These shortcuts are easier to learn.
A network that learns what all environments share does well on the domain ``random``, where the 16 tell nothing.
"""

from collections.abc import Mapping

import numpy as np

from dg_jax.data import dataset

ENVIRONMENTS = tuple(f"e{number:02}" for number in range(1, 17))
RANDOM = "random"
CLASSES = ("first arm", "second arm")
SHORTCUTS = 16
TURNS = 1.0
SIZES = {"train": 256, "validation": 128, "test": 2000}

_JITTER = 0.02  # of the radius
_SMALLEST_RADIUS = 0.08


def load(parts: Mapping[str, tuple[str, ...]], seed: int, turns: float = TURNS) -> dataset.MultiDomainDataset:
    """Draws the points of some domains.

    Args:
        parts: for each domain, an environment or ``"random"``, which of its parts to draw.
        seed: seed for the points and for the environments' codes.
        turns: how many turns the spiral has.

    Returns:
        Vectors float32 ``[n, 18]``: the two coordinates of the spiral, then the shortcuts.

    Example:
        >>> data = load({"e01": ("train",), "random": ("test",)}, seed=0)
        >>> data.domains["e01"]["train"].image.shape, data.domains["random"]["test"].image.shape
        ((256, 18), (2000, 18))

    Reference:
        Parascandolo et al., `Learning explanations that are hard to vary <https://arxiv.org/abs/2009.00329>`_, ICLR
        2021, section 4.1; there with three turns and other numbers.
    """
    domains: dict[str, dict[str, dataset.AnyPart]] = {
        domain: {part: _points(domain, part, seed, turns) for part in wanted} for domain, wanted in parts.items()
    }
    return dataset.MultiDomainDataset("spirals", CLASSES, domains)


def _points(domain: str, part: str, seed: int, turns: float) -> dataset.Part:
    place = [*ENVIRONMENTS, RANDOM].index(domain)
    rng = np.random.default_rng([seed, place, list(SIZES).index(part)])
    size = SIZES[part]
    label = rng.integers(0, len(CLASSES), size)
    radius = rng.uniform(_SMALLEST_RADIUS, 1, size)
    angle = np.pi * (2 * turns * radius + label)
    radius = radius + rng.uniform(-_JITTER, _JITTER, size)
    spiral = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    spiral = spiral / np.std(spiral, axis=0)
    if domain == RANDOM:
        shortcuts = rng.standard_normal((size, SHORTCUTS))
    else:
        code = np.random.default_rng([seed, place]).standard_normal(SHORTCUTS)
        shortcuts = code * (2 * label - 1)[:, None]
    return dataset.Part(np.concatenate([spiral, shortcuts], axis=1).astype(np.float32), label.astype(np.int32))
