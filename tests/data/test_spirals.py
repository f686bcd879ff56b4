import numpy as np
import pytest

from dg_jax.data import registry, spirals

PARTS = {"e01": ("train", "validation"), "e16": ("train",), "random": ("test", "train")}


def whole(**settings):
    return spirals.load(PARTS, 3, **settings).domains


def test_names_and_shapes():
    assert registry.get("spirals").domains == (*spirals.ENVIRONMENTS, spirals.RANDOM)
    data = spirals.load(PARTS, 3)
    assert data.example == {"shape": [18], "dtype": "float32"} and len(data.classes) == 2
    sizes = {domain: {part: len(of.label) for part, of in parts.items()} for domain, parts in data.domains.items()}
    assert sizes == {
        "e01": {"train": 256, "validation": 128},
        "e16": {"train": 256},
        "random": {"test": 2000, "train": 256},
    }


@pytest.mark.parametrize("turns", [1.0, 3.0])
def test_the_class_is_the_arm_of_the_spiral_everywhere(turns):
    """Turned back by the angle of its radius, a point of the first arm lies right of the centre, the others left."""
    for domain, parts in whole(turns=turns).items():
        for part in parts.values():
            assert 0.4 < np.mean(part.label) < 0.6
            scale = _scale(part, turns)
            x, y = (part.image[:, :2] * scale).T
            radius = np.hypot(x, y)
            back = (x + 1j * y) * np.exp(-2j * np.pi * turns * radius)
            side = np.real(back) / radius
            # Points were divided by the deviations of the draw, which over three turns moves some past the middle.
            assert np.mean((side > 0) == (part.label == 0)) > {1.0: 0.97, 3.0: 0.9}[turns], domain


def _scale(part, turns):
    """The expected standard deviations; the coordinates were divided by those of the drawn points."""
    radius = np.linspace(0.08, 1, 100_000)
    angles = np.concatenate([2 * np.pi * turns * radius + np.pi * arm for arm in (0, 1)])
    twice = np.concatenate([radius, radius])
    return np.array([np.std(twice * np.cos(angles)), np.std(twice * np.sin(angles))])


def test_shortcuts_are_perfect_in_an_environment_and_say_nothing_in_the_test():
    data = whole()
    codes = {}
    for domain in ("e01", "e16"):
        part = data[domain]["train"]
        signs = 2 * part.label - 1
        codes[domain] = part.image[0, 2:] * signs[0]
        np.testing.assert_array_equal(part.image[:, 2:], signs[:, None] * codes[domain])
    np.testing.assert_array_equal(
        data["e01"]["validation"].image[:, 2:],
        (2 * data["e01"]["validation"].label - 1)[:, None] * codes["e01"],
    )
    assert not np.allclose(codes["e01"], codes["e16"])
    test = data["random"]["test"]
    correlations = [np.corrcoef(test.label, column)[0, 1] for column in test.image[:, 2:].T]
    assert np.abs(correlations).max() < 0.09  # four standard deviations


def test_points_are_drawn_from_the_seed_and_do_not_depend_on_the_other_domains():
    first, again, other = spirals.load(PARTS, 3), spirals.load({"e01": ("train",)}, 3), spirals.load(PARTS, 4)
    same = [one.domains["e01"]["train"].image for one in (first, again)]
    np.testing.assert_array_equal(*same)
    assert not np.allclose(other.domains["e01"]["train"].image[:, 2:], same[0][:, 2:])
    assert not np.allclose(first.domains["e01"]["validation"].image[:, :2], same[0][:128, :2])
