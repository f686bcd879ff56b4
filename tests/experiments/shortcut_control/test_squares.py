import itertools

import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import dataset
from experiments.shortcut_control import squares
from tests.experiments import made_runs

CLASSES = tuple("abcdef")
DOMAINS = ("apple", "google", "twitter", "windows")


def made(num_images=50, size=16):
    """Pictures that have no colour of the squares, and labels in which every class occurs."""
    rng = np.random.default_rng(0)
    domains = {}
    for domain in DOMAINS:
        domains[domain] = {
            part: dataset.Part(
                rng.integers(20, 200, (num_images, size, size, 3)).astype(np.uint8),
                (rng.permutation(num_images) % len(CLASSES)).astype(np.int32),
            )
            for part in (("test",) if domain == "windows" else ("train", "validation"))
        }
    return dataset.MultiDomainDataset("emoji", CLASSES, domains, left_out=("x",))


def colour_of(image):
    """The number of the colour in the upper left corner of each image, by its RGB values."""
    table = {tuple(colour): k for k, colour in enumerate(squares.colours(len(CLASSES)).tolist())}
    return np.array([table[tuple(pixel)] for pixel in image[:, 0, 0].tolist()])


@pytest.mark.parametrize("num_classes", [2, 7, 8, 65])
def test_colours_are_well_apart_and_not_white(num_classes):
    colours = squares.colours(num_classes).astype(float)
    apart = [np.abs(one - other).max() for one, other in itertools.combinations(colours, 2)]
    assert colours.shape == (num_classes, 3)
    assert min(apart) >= min(255, 3 * 255 / num_classes - 1)  # hues lie on a hexagon with 6 edges of length 255
    assert np.all(colours.min(axis=1) == 0) and np.all(colours.max(axis=1) == 255)


def test_codes_are_permutations_that_no_two_domains_share_anywhere():
    seen = set()
    for seed in range(20):
        codes = squares.codes(DOMAINS, len(CLASSES), seed)
        assert list(codes) == sorted(DOMAINS)
        for code in codes.values():
            assert sorted(code.tolist()) == list(range(len(CLASSES)))
        for one, other in itertools.combinations(codes.values(), 2):
            assert np.all(one != other)
        again = squares.codes(DOMAINS[::-1], len(CLASSES), seed)
        assert all(np.array_equal(again[domain], codes[domain]) for domain in DOMAINS)
        seen.add(tuple(codes["apple"].tolist()))
    assert len(seen) > 15


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.9, 1.0])
def test_the_colour_is_right_in_just_that_share_of_each_part(strength):
    data, with_squares = made(), squares.add(made(), "windows", strength, seed=3)
    codes = squares.codes(DOMAINS, len(CLASSES), 3)
    for domain in DOMAINS[:3]:
        for part in ("train", "validation"):
            own = with_squares.domains[domain][part]
            is_right = colour_of(own.image) == codes[domain][own.label]
            assert is_right.sum() == round(50 * strength)
            np.testing.assert_array_equal(own.label, data.domains[domain][part].label)
    assert with_squares.classes == CLASSES and with_squares.left_out == ("x",)


def test_only_a_corner_of_a_quarter_of_the_side_changes_and_the_given_pictures_do_not():
    data = made()
    with_squares = squares.add(data, "windows", 0.5, seed=0)
    for domain, parts in made().domains.items():
        for name, part in parts.items():
            np.testing.assert_array_equal(data.domains[domain][name].image, part.image)
            changed = np.any(with_squares.domains[domain][name].image != part.image, axis=-1)
            assert np.all(changed[:, :4, :4]) and not np.any(changed[:, 4:]) and not np.any(changed[:, :, 4:])
            square = with_squares.domains[domain][name].image[:, :4, :4]
            assert np.all(square == square[:, :1, :1])


def test_what_is_right_stays_right_when_the_strength_grows():
    codes = squares.codes(DOMAINS, len(CLASSES), 3)
    weak, strong = (squares.add(made(), "windows", strength, 3).domains["apple"]["train"] for strength in (0.5, 0.8))
    right_weak, right_strong = (colour_of(part.image) == codes["apple"][part.label] for part in (weak, strong))
    assert np.all(right_strong[right_weak])
    np.testing.assert_array_equal(colour_of(weak.image)[~right_strong], colour_of(strong.image)[~right_strong])


def test_wrong_and_target_colours_are_random():
    wrong, target = [], []
    for seed in range(40):
        with_squares = squares.add(made(), "windows", 0.0, seed)
        codes = squares.codes(DOMAINS, len(CLASSES), seed)
        wrong += [
            (colour_of(part.image) - codes["apple"][part.label]) % len(CLASSES)
            for part in with_squares.domains["apple"].values()
        ]
        test = with_squares.domains["windows"]["test"]
        target.append((colour_of(test.image) - codes["apple"][test.label]) % len(CLASSES))
    shares = np.bincount(np.concatenate(wrong), minlength=6) / 4000
    np.testing.assert_allclose(shares, [0, 0.2, 0.2, 0.2, 0.2, 0.2], atol=0.03)
    np.testing.assert_allclose(np.bincount(np.concatenate(target), minlength=6) / 2000, 1 / 6, atol=0.03)


def test_the_targets_pictures_with_each_sources_square_are_watched():
    with_squares = squares.add(made(), "windows", 0.5, seed=2)
    codes, test = squares.codes(DOMAINS, len(CLASSES), 2), made().domains["windows"]["test"]
    assert list(with_squares.watched) == ["apple", "google", "twitter"]
    for domain, part in with_squares.watched.items():
        np.testing.assert_array_equal(colour_of(part.image), codes[domain][test.label])
        np.testing.assert_array_equal(part.image[:, 4:], test.image[:, 4:])
        np.testing.assert_array_equal(part.label, test.label)


def test_what_cannot_be_pasted_is_a_user_error():
    with pytest.raises(errors.UserError, match="there are 4 domains and 3 classes; name fewer --domains"):
        squares.codes(DOMAINS, 3, 0)
    data = made()
    data.domains["google"]["train"] = made_runs.stored(50)
    with pytest.raises(errors.UserError, match="pictures that fit into memory"):
        squares.add(data, "windows", 0.5, 0)
