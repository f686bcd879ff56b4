"""Pictures are identified by their names, labels and bytes, not by place and time."""

import json
import os
import shutil
import time

import pytest

from dg_jax import errors
from dg_jax.data import identity, image_tree, prepared, registry
from tests.data import made_trees


@pytest.fixture
def pacs(tmp_path):
    folder = made_trees.pacs(tmp_path / "PACS", per_class=2)
    for path in folder.rglob("*.*g"):
        os.utime(path, (1000, 1000))  # hashes of files that were just written are not kept
    return folder


def identify(folder, kept):
    return identity.of_pictures(image_tree.scan(folder, registry.get("pacs").layout, "pacs"), kept)


def test_a_copy_elsewhere_at_another_time_is_the_same(pacs, tmp_path):
    shutil.copytree(pacs / "kfold", tmp_path / "copy", copy_function=shutil.copyfile)
    (tmp_path / "link").symlink_to(pacs)
    first = identify(pacs, tmp_path / "kept.json")
    assert first.keys() == {"art_painting", "cartoon", "photo", "sketch"}
    assert len(set(first.values())) == 4
    for folder in ("copy", "link"):
        assert identify(tmp_path / folder, tmp_path / "none" / "kept.json") == first


@pytest.mark.parametrize("change", ["add", "remove", "rename", "relabel", "swap", "write"])
def test_every_change_of_a_picture_shows_in_its_domain_only(pacs, tmp_path, change):
    before = identify(pacs, tmp_path / "kept.json")
    dogs = pacs / "kfold/photo/dog"
    file, other = dogs / "pic_000.jpg", dogs / "pic_001.jpg"
    if change == "add":
        shutil.copy(file, dogs / "new.jpg")
    elif change == "remove":
        file.unlink()
    elif change == "rename":
        file.rename(dogs / "other.jpg")
    elif change == "relabel":
        file.rename(pacs / "kfold/photo/horse/pic_009.jpg")
    elif change == "swap":
        content = file.read_bytes(), other.read_bytes()
        other.write_bytes(content[0])
        file.write_bytes(content[1])
    else:
        file.write_bytes(file.read_bytes() + b"\0")
    after = identify(pacs, tmp_path / "kept.json")
    assert [domain for domain in before if before[domain] != after[domain]] == ["photo"]


def test_a_second_time_only_what_changed_is_read(pacs, tmp_path, monkeypatch):
    kept, read = tmp_path / "made/kept.json", []
    hash_file = identity.hash_of
    monkeypatch.setattr(identity, "hash_of", lambda path: read.append(path.name) or hash_file(path))
    first = identify(pacs, kept)
    assert len(read) == 4 * 7 * 2
    read.clear()
    assert identify(pacs, kept) == first and read == []
    shutil.move(pacs, tmp_path / "moved")
    assert identify(tmp_path / "moved", kept) == first and read == []
    os.utime(tmp_path / "moved/kfold/photo/dog/pic_001.jpg", (2000, 2000))
    assert identify(tmp_path / "moved", kept) == first and read == ["pic_001.jpg"]


def test_what_was_written_a_moment_ago_is_read_again(pacs, tmp_path):
    """A file that is written twice within one tick of the file system's clock keeps size, time and inode."""
    file, now = pacs / "kfold/photo/dog/pic_001.jpg", time.time_ns()
    os.utime(file, ns=(now, now))
    before = identify(pacs, tmp_path / "kept.json")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(now, now))
    assert identify(pacs, tmp_path / "kept.json")["photo"] != before["photo"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"a": 3}', b"[" * 100_000])
def test_damaged_hashes_are_computed_again(pacs, tmp_path, content):
    first = identify(pacs, tmp_path / "kept.json")
    (tmp_path / "kept.json").write_bytes(content)
    assert identify(pacs, tmp_path / "kept.json") == first
    assert len(json.loads((tmp_path / "kept.json").read_text())) == 4 * 7 * 2


def test_a_named_pipe_is_not_waited_for(pacs, tmp_path):
    before = identify(pacs, tmp_path / "kept.json")
    os.mkfifo(pacs / "kfold/photo/dog/pipe.jpg")
    os.mkfifo(tmp_path / "pipe.json")
    with (pacs / "kfold/sketch/dog/large.png").open("wb") as file:
        file.truncate(20 * 2**30)
    after = identify(pacs, tmp_path / "pipe.json")
    assert [domain for domain in before if before[domain] != after[domain]] == ["photo", "sketch"]


def test_pictures_that_change_while_they_are_prepared_are_no_dataset(pacs, tmp_path, monkeypatch):
    from dg_jax.data import picture

    encode = picture.encode
    file = pacs / "kfold/photo/dog/pic_000.jpg"

    def slow(path, size):
        if path.name.startswith("n00000"):  # a picture of sketch, the last domain
            file.write_bytes(file.with_name("pic_001.jpg").read_bytes())
        return encode(path, size)

    def load():
        parts = dict.fromkeys(("photo", "sketch"), ("train",))
        return prepared.load("pacs", parts, image_size=8, split_seed=0, data_dir=pacs, prepared_dir=tmp_path / "kept")

    with monkeypatch.context() as patch:
        patch.setattr(picture, "encode", slow)
        with pytest.raises(errors.UserError, match="pictures changed while they were prepared; the same command"):
            load()
    assert not list((tmp_path / "kept").glob("pacs/*/*/index.json"))
    assert load().inputs["pictures of photo"] == identify(pacs, tmp_path / "kept.json")["photo"]
