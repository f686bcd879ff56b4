import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import arrays


def vectors(n=20, width=3, classes=2):
    return np.random.default_rng(n).normal(size=(n, width)), np.arange(n) % classes


def split(domains, target="b", **changes):
    return arrays.split(domains, target, **({"name": "mine", "seed": 0} | changes))


def test_sources_are_split_into_training_and_validation_and_the_target_is_tested_on():
    data = split({"a": vectors(40), "b": vectors(20)})
    assert {
        domain: {part: len(own.label) for part, own in parts.items()} for domain, parts in data.domains.items()
    } == {
        "a": {"train": 28, "validation": 4},
        "b": {"test": 4},
    }
    assert data.classes == ("0", "1") and data.example == {"shape": [3], "dtype": "float32"}
    examples, labels = vectors(40)
    for part in data.domains["a"].values():
        for row, label in zip(part.image, part.label, strict=True):
            [place] = np.flatnonzero((examples.astype(np.float32) == row).all(axis=1))
            assert labels[place] == label


def test_the_seed_splits_and_the_contents_are_identified():
    given = {"a": vectors(40), "b": vectors(20)}
    one, again, other = split(given), split(given), split(given, seed=1)
    np.testing.assert_array_equal(one.domains["a"]["train"].image, again.domains["a"]["train"].image)
    assert (one.domains["a"]["train"].image != other.domains["a"]["train"].image).any()
    assert one.inputs == again.inputs == other.inputs and set(one.inputs) == {"examples of a", "examples of b"}
    examples, labels = vectors(40)
    relabelled = split({"a": (examples, 1 - labels), "b": vectors(20)})
    assert relabelled.inputs["examples of a"] != one.inputs["examples of a"]
    assert relabelled.inputs["examples of b"] == one.inputs["examples of b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"a: give a pair \(examples, labels\)"),
        ((np.zeros((4, 2)), np.zeros(4)), r"a: labels are integers \[n\], these are float64 \[4\]"),
        ((np.zeros((4, 2)), np.zeros((4, 1), int)), r"a: labels are integers \[n\], these are int64 \[4, 1\]"),
        ((np.zeros((4, 2)), np.zeros(3, int)), "a: examples are .* with one label each, these are .* with 3"),
        ((np.zeros(4), np.zeros(4, int)), "a: examples are"),
        ((np.zeros((0, 3)), np.zeros(0, int)), "a: there are no examples"),
        ((np.zeros((4, 3)), np.array([0, 1, -1, 0])), "a: there is a label -1; they are counted from 0"),
        ((np.zeros((4, 3), np.uint8), np.zeros(4, int)), "a: uint8 examples are images"),
        ((np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, int)), "a: uint8 examples are images"),
        ((np.zeros((4, 3), int), np.zeros(4, int)), "a: examples are uint8 images or floats, these are int64"),
        ((np.array([[0, 1, 2], [0, np.nan, 1]]), np.zeros(2, int)), "a: example 1 has a value that is NaN"),
        ((np.zeros((9, 4)), np.zeros(9, int)), r"b: its examples have shape \(3,\), those of a \(4,\)"),
        ((np.zeros((9, 8, 8, 3), np.uint8), np.zeros(9, int)), "b: its examples have shape"),
    ],
)
def test_wrong_arrays_are_named(given, message):
    with pytest.raises(errors.UserError, match=message):
        split({"a": given, "b": vectors()})


def test_too_few_names_too_few_examples_and_no_target_are_named():
    with pytest.raises(errors.UserError, match="classes: 1 names, but there is a label 1"):
        split({"a": vectors(), "b": vectors()}, classes=["cat"])
    with pytest.raises(errors.UserError, match="no example is in the validation part; give more"):
        split({"a": vectors(3), "b": vectors()})
    with pytest.raises(errors.UserError, match="target='c' is not a domain; there are: a, b"):
        split({"a": vectors(), "b": vectors()}, target="c")
