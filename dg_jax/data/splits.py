"""Stratified splits into training, validation and test parts (paper, section 4.1)."""

import zlib

import numpy as np

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def split_concepts(concepts: dict[str, np.ndarray], labels: dict[str, np.ndarray], seed: int) -> dict[str, str]:
    """Assigns every concept to a part, 70% / 10% / 20%.

    A concept is what must not be in two parts: one emoji in the drawings of all
    vendors, or simply one photograph. Concepts are split by stratum, that is by class and
    by the set of domains they occur in. So domains that share their concepts share the
    split, and domains that share none are split separately.

    Args:
        concepts: for each domain the concept of every example, strings ``[n]``.
        labels: for each domain the class of every example, integers ``[n]``.
        seed: another seed gives another split. The order of examples and of domains
            has no effect.

    Returns:
        ``{concept: part}`` with the parts of :data:`FRACTIONS`. In each stratum of n
        concepts round(0.7 n) go to training and round(0.1 n) to validation.
    """
    strata: dict[str, tuple[int, list[str]]] = {}
    for domain in sorted(concepts):
        for concept, label in zip(concepts[domain].tolist(), labels[domain].tolist(), strict=True):
            strata.setdefault(concept, (label, []))[1].append(domain)
    members: dict[str, list[str]] = {}
    for concept, (label, domains) in strata.items():
        members.setdefault(f"{label} {' '.join(domains)}", []).append(concept)

    parts = {}
    for stratum, names in members.items():
        shuffled = np.random.default_rng([seed, zlib.crc32(stratum.encode())]).permutation(sorted(names)).tolist()
        train = round(FRACTIONS["train"] * len(shuffled))
        validation = train + round(FRACTIONS["validation"] * len(shuffled))
        for position, name in enumerate(shuffled):
            parts[name] = "train" if position < train else "validation" if position < validation else "test"
    return parts


def rows_of_parts(concepts: dict[str, np.ndarray], parts: dict[str, str]) -> dict[str, dict[str, np.ndarray]]:
    """Returns for each domain and part which examples are in it: integers, sorted by concept."""
    rows = {}
    for domain, names in concepts.items():
        order = np.argsort(names)
        part_of = np.array([parts[name] for name in names[order].tolist()])
        rows[domain] = {part: order[part_of == part] for part in FRACTIONS}
    return rows
