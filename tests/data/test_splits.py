import collections

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dg_jax.data import splits


def table(classes, shared, sizes):
    """Domains a, b, c with the same concepts (shared) or with their own."""
    concepts, labels = {}, {}
    for domain in "abc":
        names = [f"{label}-{k}" for label, size in zip(classes, sizes, strict=True) for k in range(size)]
        concepts[domain] = np.array(names if shared else [f"{domain}/{name}" for name in names])
        labels[domain] = np.array([int(name.split("-")[0]) for name in names])
    return concepts, labels


@given(shared=st.booleans(), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_every_stratum_is_split_70_10_20(shared, sizes, seed):
    concepts, labels = table(range(len(sizes)), shared, sizes)
    parts = splits.split_concepts(concepts, labels, seed)
    for domain in "abc":
        for label, size in enumerate(sizes):
            of_class = concepts[domain][labels[domain] == label].tolist()
            counts = collections.Counter(parts[concept] for concept in of_class)
            assert counts["train"] == round(0.7 * size)
            assert counts["validation"] == min(round(0.1 * size), size - counts["train"])
            assert sum(counts.values()) == size


def test_shared_concepts_lie_in_one_part_of_all_domains():
    concepts, labels = table([0, 1], True, [30, 20])
    parts = splits.split_concepts(concepts, labels, 0)
    assert len(parts) == 50


def test_order_has_no_influence_and_the_seed_has():
    concepts, labels = table([0, 1], True, [30, 20])
    parts = splits.split_concepts(concepts, labels, 0)
    order = np.random.default_rng(0).permutation(50)
    shuffled = splits.split_concepts(
        {domain: concepts[domain][order] for domain in "cab"}, {domain: labels[domain][order] for domain in "bca"}, 0
    )
    assert shuffled == parts
    assert splits.split_concepts(concepts, labels, 1) != parts


def test_domains_with_their_own_concepts_are_split_independently():
    concepts, labels = table([0], False, [40])
    parts = splits.split_concepts(concepts, labels, 0)
    a = {name[2:] for name, part in parts.items() if part == "test" and name.startswith("a/")}
    b = {name[2:] for name, part in parts.items() if part == "test" and name.startswith("b/")}
    assert a != b
