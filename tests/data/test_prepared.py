"""Downloads that TFDS prepares and that are opened without TensorFlow."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from dg_jax import errors
from dg_jax.data import builder, dataset, picture, prepared, trees
from tests.data import made_trees

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
ALL = dict.fromkeys(DOMAINS, ("train", "validation", "test"))


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    return made_trees.pacs(tmp_path_factory.mktemp("raw") / "PACS")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


def load(pacs, folder, parts=ALL, *, dataset="pacs", image_size=227, split_seed=0, **options):
    return prepared.load(
        dataset, parts, image_size=image_size, split_seed=split_seed, data_dir=pacs, prepared_dir=folder, **options
    )


def test_splits_are_70_10_20_of_each_class_and_domain(pacs, kept):
    data = load(pacs, kept)
    assert data.classes == made_trees.PACS_CLASSES
    for parts in data.domains.values():
        counts = {part: np.bincount(images.label, minlength=7).tolist() for part, images in parts.items()}
        assert counts == {"train": [7] * 7, "validation": [1] * 7, "test": [2] * 7}


def test_pictures_are_those_of_the_files(pacs, kept):
    data = load(pacs, kept)
    files = sorted((pacs / "kfold" / "photo" / "dog").iterdir())
    expected = {np.asarray(Image.open(file)).tobytes() for file in files}
    found = {image.tobytes() for part in data.domains["photo"].values() for image in part.image[part.label == 0]}
    assert found == expected
    smaller = load(pacs, kept, {"photo": ("test",)}, image_size=64)
    assert smaller.domains["photo"]["test"].image.shape == (14, 64, 64, 3)


def test_only_the_parts_asked_for_are_read(pacs, kept):
    data = load(pacs, kept, {"photo": ("train", "validation"), "sketch": ("test",)})
    assert {domain: list(parts) for domain, parts in data.domains.items()} == {
        "photo": ["train", "validation"],
        "sketch": ["test"],
    }


def test_seeds_split_otherwise_and_repeat(pacs, kept):
    one, again, other = (load(pacs, kept, image_size=16, split_seed=seed) for seed in (0, 0, 1))
    for domain in DOMAINS:
        np.testing.assert_array_equal(one.domains[domain]["test"].image, again.domains[domain]["test"].image)
        assert np.any(one.domains[domain]["test"].image != other.domains[domain]["test"].image)


def test_splits_share_pictures_that_are_decoded_once(pacs, kept, monkeypatch, capsys):
    parts = {"photo": ("train", "validation"), "sketch": ("test",)}
    with monkeypatch.context() as patch:  # enough memory for the parts, not for both whole domains
        patch.setattr(prepared, "MOST_BYTES_IN_MEMORY", 100 * 227 * 227 * 3)
        fresh = {seed: load(pacs, kept, parts, image_size=17, split_seed=seed) for seed in (0, 1)}
    assert not list(kept.rglob("*17px*"))
    load(pacs, kept, parts, image_size=17)
    monkeypatch.setattr(picture, "decode", None)
    for seed, expected in fresh.items():
        data = load(pacs, kept, parts, image_size=17, split_seed=seed)
        for domain, wanted in parts.items():
            assert tuple(data.domains[domain]) == wanted
            for name in wanted:
                for ours, theirs in zip(data.domains[domain][name], expected.domains[domain][name], strict=True):
                    np.testing.assert_array_equal(ours, theirs)
                    assert ours.dtype == theirs.dtype
                assert not isinstance(data.domains[domain][name].image, np.memmap)
    assert capsys.readouterr().err.count("published") == 4  # one warning for each domain
    with pytest.raises(TypeError):
        load(pacs, kept, parts, image_size=18)


def test_tfds_does_not_mind_decoded_pictures(pacs, kept):
    load(pacs, kept, image_size=16)
    [folder] = {file.parent for file in kept.rglob("*-16px.npy")}
    records = tfds.builder_from_directory(folder).as_data_source("photo")
    assert len(records) == 70
    assert records[0]["image"].shape == (227, 227, 3)


def test_beyond_the_limit_parts_are_read_where_they_are_needed(pacs, kept, monkeypatch):
    held = load(pacs, kept, image_size=32)
    monkeypatch.setattr(prepared, "MOST_BYTES_IN_MEMORY", 10 * 227 * 227 * 3)
    stored = load(pacs, kept, image_size=32)
    for domain, parts in stored.domains.items():
        for name, part in parts.items():
            assert isinstance(part, dataset.StoredPart)
            np.testing.assert_array_equal(part.label, held.domains[domain][name].label)
            rows = np.array([3, 0, 3])
            np.testing.assert_array_equal(part.read(rows).image, held.domains[domain][name].image[rows])


def test_counts_other_than_published_are_a_warning_for_each_domain(pacs, kept, capsys):
    load(pacs, kept, image_size=8)
    lines = capsys.readouterr().err.splitlines()
    assert "warning: pacs: sketch has 70 pictures, but 3929 were published" in lines
    assert len(lines) == 4


def test_a_plain_tfds_user_can_prepare_it_too(pacs, tmp_path):
    source = trees.Pacs(data_dir=tmp_path, file_format="array_record")
    source.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=pacs))
    records = source.as_data_source("photo")
    assert len(records) == 70
    assert records[0]["image"].shape == (227, 227, 3)
    assert tuple(source.info.features["label"].names) == made_trees.PACS_CLASSES
    assert source.info.splits["sketch"].num_examples == 70


def test_changed_files_are_prepared_again(tmp_path):
    raw, kept = tmp_path / "raw", tmp_path / "kept"
    made_trees.fill(raw, ("a", "b"), ("x", "y"), size=20)
    parts = {"a": ("train",), "b": ("test",)}
    assert load(raw, kept, parts, dataset="folder").classes == ("x", "y")
    made_trees.fill(raw, ("a", "b"), ("z",), size=20)
    assert load(raw, kept, parts, dataset="folder").classes == ("x", "y", "z")
    for number in range(10):
        made_trees.save(raw / "b" / "z" / f"pic_{number:03}.jpg", Image.new("RGB", (227, 227), "red"))
    test = load(raw, kept, parts, dataset="folder").domains["b"]["test"]
    assert np.all(np.abs(test.image[test.label == 2] - np.array([255, 0, 0])) < 5)


def test_endings_that_are_no_pictures_are_named_when_preparing(tmp_path, capsys):
    raw, kept = tmp_path / "raw", tmp_path / "kept"
    made_trees.fill(raw, ("a", "b"), ("x", "y"), size=20)
    (raw / "a" / "x" / "notes.txt").write_text("hello")
    load(raw, kept, {"a": ("train",), "b": ("test",)}, dataset="folder", image_size=8)
    assert "passed over" in (said := capsys.readouterr().err)
    assert "notes.txt" in said


@pytest.fixture
def damaged(tmp_path):
    raw = made_trees.pacs(tmp_path / "raw", per_class=10)
    for number in range(10):
        file = raw / "kfold" / "photo" / "dog" / f"pic_{number:03}.jpg"
        if number < 9:
            file.write_bytes(file.read_bytes()[:300])
    for label in ("horse", "house"):
        (raw / "kfold" / "cartoon" / label / "pic_001.jpg").write_text("not found")
    return raw


def test_damaged_files_are_reported_together(damaged, tmp_path):
    for _ in range(2):  # the second time it is already prepared
        with pytest.raises(errors.UserError) as caught:
            load(damaged, tmp_path / "kept")
        message = str(caught.value)
        assert "pacs: damaged files, 11 in number: cartoon/horse/pic_001.jpg (not a picture)" in message
        assert "photo/dog/pic_007.jpg" in message
        assert "photo/dog/pic_008.jpg" not in message
        assert "(and 1 more)" in message
        assert "--skip-damaged" in message
        assert "\n" not in message


def test_skip_damaged_leaves_them_out_and_records_which(damaged, tmp_path, capsys):
    data = load(damaged, tmp_path / "kept", image_size=8, skip_damaged=True)
    assert len(data.left_out) == 11
    assert "photo/dog/pic_008.jpg" in data.left_out
    assert "warning: pacs: left out damaged files, 11 in number" in capsys.readouterr().err
    assert sum(len(part.label) for part in data.domains["photo"].values()) == 61
    assert sum(len(part.label) for part in data.domains["cartoon"].values()) == 68
    [index] = (tmp_path / "kept").glob("pacs/*/*/index.json")
    assert len(json.loads(index.read_text())["damaged"]) == 11


def test_a_domain_whose_files_are_all_damaged(tmp_path):
    raw = tmp_path / "raw"
    made_trees.fill(raw, ("a", "b"), ("x", "y"), size=20)
    for file in raw.glob("b/*/*"):
        file.write_bytes(b"")
    with pytest.raises(errors.UserError, match="b has no pictures left"):
        load(raw, tmp_path / "kept", {"a": ("train",), "b": ("test",)}, dataset="folder", skip_damaged=True)


PREPARE = """
import pathlib, signal, sys
from dg_jax.data import builder, prepared
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
builder.PICTURES_PER_SHARD = 10
raw, kept = map(pathlib.Path, sys.argv[1:])
parts = {"photo": ("train",), "sketch": ("test",)}
prepared.load("pacs", parts, image_size=8, split_seed=0, data_dir=raw, prepared_dir=kept)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return made_trees.pacs(tmp_path_factory.mktemp("many"), per_class=15)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_preparation_goes_on_and_is_not_taken_for_whole(many, tmp_path, number, monkeypatch):
    raw, kept = many, tmp_path / "kept"
    process = subprocess.Popen([sys.executable, "-c", PREPARE, str(raw), str(kept)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(kept.glob("pacs/*/*.partial/*-of-*.json"))) < 5:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() != 0
    finished = {path.name: path.stat().st_mtime_ns for path in kept.glob("pacs/*/*.partial/*-of-?????")}
    assert finished
    assert not list(kept.glob("pacs/*/2.0.0/dataset_info.json"))
    monkeypatch.setattr(builder, "PICTURES_PER_SHARD", 10)
    load(raw, kept, {"photo": ("train",), "sketch": ("test",)}, image_size=8)
    [whole] = kept.glob("pacs/*/2.0.0")
    for name, time_written in finished.items():
        assert (whole / name).stat().st_mtime_ns == time_written
    assert not list(kept.glob("pacs/*/*.partial"))
    assert sum(map(len, json.loads((whole / "index.json").read_text())["labels"].values())) == 4 * 7 * 15


def test_two_processes_prepare_it_once(tmp_path):
    raw, kept = made_trees.pacs(tmp_path / "raw", per_class=2), tmp_path / "kept"
    commands = [[sys.executable, "-c", PREPARE, str(raw), str(kept)]] * 2
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(list(kept.glob("pacs/*/2.0.0/index.json"))) == 1
    assert len(list(kept.glob("pacs/*/2.0.0/*px.npy"))) == 2
    assert not list(kept.rglob("*.tmp"))


def test_prepared_folder_that_cannot_be_written(pacs, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="--prepared-dir: cannot prepare pacs: Not a directory"):
        load(pacs, tmp_path / "file" / "kept")
