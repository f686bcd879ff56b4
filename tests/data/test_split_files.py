"""The published lists of pictures, in both formats."""

import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import builder, split_files

INDEX = builder.Index(
    classes=["dog", "person"],
    labels={"photo": [0, 0, 1, 1, 1], "real_world": [0, 1, 1]},
    concepts={
        "photo": [f"photo/dog/{i}.jpg" for i in (0, 1)] + [f"photo/person/{i}, b.jpg" for i in (0, 1, 2)],
        "real_world": ["Real World/dog/a b.jpg", "Real World/person/été.jpg", "Real World/person/c.jpg"],
    },
    damaged=[("photo/dog/broken.jpg", "cut off")],
)
SOURCE = {"photo": ("train", "validation")}


def write(folder, name, *lines):
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(folder, parts=SOURCE):
    rows = split_files.read(folder, "pacs", INDEX, parts)
    return {domain: {part: found.tolist() for part, found in of.items()} for domain, of in rows.items()}


def test_the_authors_files(tmp_path):
    write(tmp_path, "photo_train.txt", "photo/person/2, b.jpg,2", "photo/dog/0.jpg,1", "photo/dog/broken.jpg,1")
    write(tmp_path, "photo_val.txt", "photo/dog/1.jpg,1", "")
    write(tmp_path, "Real World_test.txt", "Real World/person/e\u0301te\u0301.jpg,2", "Real World/dog/a b.jpg,1")
    assert read(tmp_path, SOURCE | {"real_world": ("test",)}) == {
        "photo": {"train": [4, 0], "validation": [1]},
        "real_world": {"test": [1, 0]},
    }


def test_pacs_official_lists(tmp_path):
    """The test list is the whole domain. That is no overlap: source domains are not tested."""
    write(tmp_path, "photo_train_kfold.txt", "photo/person/0, b.jpg 2", "photo/dog/0.jpg 1")
    write(tmp_path, "photo_crossval_kfold.txt", "photo/dog/1.jpg 1")
    write(tmp_path, "photo_test_kfold.txt", "photo/person/0, b.jpg 2", "photo/dog/0.jpg 1", "photo/dog/1.jpg 1")
    assert read(tmp_path) == {"photo": {"train": [2, 0], "validation": [1]}}
    assert read(tmp_path, {"photo": ("test",)}) == {"photo": {"test": [2, 0, 1]}}


def test_labels_of_the_files_need_not_follow_our_order(tmp_path):
    write(tmp_path, "photo_test.txt", "photo/person/0, b.jpg,7", "photo/dog/0.jpg,3")
    assert read(tmp_path, {"photo": ("test",)})["photo"]["test"] == [2, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["photo/dog/9.jpg,1"], "photo_train.txt, line 1: 'photo/dog/9.jpg' is not in pacs, domain photo"),
        (
            ["photo/dog/0.jpg,1", "photo/dog/1.jpg,2", "photo/person/0, b.jpg,2"],
            "line 3: label 2 stands for dog elsewhere",
        ),
        (["photo/dog/0.jpg,1", "photo/dog/0.jpg,1"], "names 'photo/dog/0.jpg' twice"),
        (["photo/dog/0.jpg"], "line 1: 'photo/dog/0.jpg' is not domain/class/picture,LABEL"),
        (["photo/dog/0.jpg,one"], "is not domain/class/picture,LABEL"),
        ([], "names no picture"),
        (["photo/dog/broken.jpg,1"], "names no picture"),
        (["photo/dog/1.jpg,1"], "'photo/dog/1.jpg' is in both training and validation"),
    ],
)
def test_files_that_do_not_fit(tmp_path, lines, message):
    write(tmp_path, "photo_train.txt", *lines)
    write(tmp_path, "photo_val.txt", "photo/dog/1.jpg,1")
    with pytest.raises(errors.UserError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(errors.UserError, match=r"has no photo_train\.txt or photo_train_kfold\.txt"):
        read(tmp_path)
    (tmp_path / "photo_train.txt").write_bytes(b"\xff\xfe")
    write(tmp_path, "photo_val.txt", "photo/dog/1.jpg,1")
    with pytest.raises(errors.UserError, match="cannot read"):
        read(tmp_path)


def test_rows_are_integers_of_numpy(tmp_path):
    write(tmp_path, "photo_test.txt", "photo/dog/0.jpg,1")
    rows = split_files.read(tmp_path, "pacs", INDEX, {"photo": ("test",)})["photo"]["test"]
    assert np.issubdtype(rows.dtype, np.integer)
