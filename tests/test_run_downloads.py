"""The command line on downloaded datasets."""

import json
import re

import numpy as np
import pytest

from dg_jax import models, run
from dg_jax.data import prepared
from tests import printed
from tests.data import made_trees
from tests.models import networks

pytestmark = pytest.mark.usefixtures("quick_steps")

TINY = ["--iterations=4", "--val-every=2", "--batch-size=4", "--image-size=8", "--model=linear"]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    return made_trees.pacs(tmp_path_factory.mktemp("raw") / "PACS")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def command(pacs, kept, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(models.MODELS, "linear", networks.Linear)
    monkeypatch.setitem(models.SMALLEST_IMAGE, "linear", 8)

    def call(*flags, data_dir=pacs, dataset="pacs"):
        shared = [f"--dataset={dataset}", f"--prepared-dir={kept}", f"--results-dir={tmp_path / 'results'}", *TINY]
        code = run.main([*shared, *([f"--data-dir={data_dir}"] if data_dir else []), *flags])
        said = capsys.readouterr()
        return code, said.out, printed.without_progress(said.err)

    return call


def result(tmp_path, target="sketch", dataset="pacs"):
    return json.loads((tmp_path / f"results/{dataset}/{target}/agr_sum/seed-0/result.json").read_text())


def test_a_run_on_pacs_with_a_short_name(command, tmp_path):
    code, out, err = command("--target=S")
    assert code == 0, err
    assert "test (sketch, 14 pictures), selected parameters" in out
    found = result(tmp_path)
    assert found["sources"] == ["art_painting", "cartoon", "photo"]
    assert found["left_out"] == []
    *of_counts, of_rate = err.splitlines()
    assert all(line.startswith("warning: pacs: ") for line in of_counts)
    assert of_rate.startswith(
        "warning: linear trains from scratch at --learning-rate=1e-05, the paper's for pretrained"
    )


def test_the_presets_of_downloaded_datasets_are_the_papers():
    for flags in (["--preset=paper"], []):
        parsed = run.parse(["--dataset=pacs", "--data-dir=/data/PACS", *flags])
        assert (parsed.optimisation.iterations, parsed.optimisation.batch_size, parsed.rates.learning_rate) == (
            1000,
            128,
            1e-5,
        )
        assert (parsed.network.model, parsed.data.image_size, parsed.target) == ("alexnet", 224, "sketch")


def test_streamed_training_equals_training_from_memory(command, tmp_path, monkeypatch):
    for name in ("held", "streamed"):
        code, _, err = command("--target=photo", f"--results-dir={tmp_path / name / 'results'}")
        assert code == 0, err
        monkeypatch.setattr(prepared, "MOST_BYTES_IN_MEMORY", 0)
    held, streamed = result(tmp_path / "held", "photo"), result(tmp_path / "streamed", "photo")
    for name in ("val_accuracy", "test_accuracy", "test_accuracy_last", "selected_step"):
        assert held[name] == streamed[name]
    np.testing.assert_allclose(held["test_loss"], streamed["test_loss"], rtol=1e-6)


def test_streamed_training_stopped_and_resumed_is_the_same(command, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "MOST_BYTES_IN_MEMORY", 0)
    command("--target=photo", f"--results-dir={tmp_path / 'whole' / 'results'}")
    halves = f"--results-dir={tmp_path / 'halves' / 'results'}"
    command("--target=photo", halves, "--iterations=3")
    code, _, err = command("--target=photo", halves, "--resume")
    assert code == 0, err
    whole, resumed = result(tmp_path / "whole", "photo"), result(tmp_path / "halves", "photo")
    assert whole["test_loss"] == resumed["test_loss"]


def test_splits_of_others(command, pacs, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    for domain in ("art_painting", "cartoon", "photo", "sketch"):
        names = sorted(path.relative_to(pacs / "kfold").as_posix() for path in (pacs / "kfold" / domain).glob("*/*"))
        label = {name: made_trees.PACS_CLASSES.index(name.split("/")[1]) + 1 for name in names}
        for part, chosen in (("train", names[::2]), ("val", names[1::4]), ("test", names[3::4])):
            (lists / f"{domain}_{part}.txt").write_text("".join(f"{name},{label[name]}\n" for name in chosen))
    code, _, err = command(f"--splits-dir={lists}")
    assert code == 0, err
    (lists / "photo_val.txt").unlink()
    code, _, err = command(f"--splits-dir={lists}", "--overwrite")
    assert code == 2
    assert "has no photo_val.txt or photo_crossval_kfold.txt" in err


def test_damaged_pictures_are_an_error_or_are_left_out_and_recorded(command, tmp_path):
    raw = made_trees.pacs(tmp_path / "raw", per_class=6)
    (raw / "kfold" / "photo" / "dog" / "pic_001.jpg").write_bytes(b"\xff\xd8\xff")
    code, out, err = command(data_dir=raw)
    assert (code, out) == (2, "")
    assert "error: pacs: damaged files, 1 in number: photo/dog/pic_001.jpg" in err
    assert not (tmp_path / "results").exists()
    code, _, err = command("--skip-damaged", data_dir=raw)
    assert code == 0, err
    assert result(tmp_path)["left_out"] == ["photo/dog/pic_001.jpg"]


def test_any_tree_of_folders(command, tmp_path):
    raw = tmp_path / "my pictures"
    made_trees.fill(raw, ("summer", "autumn", "winter"), ("apples", "big pears"), size=12)
    code, _, err = command("--target=winter", data_dir=raw, dataset="folder")
    assert (code, err) == (0, "")
    assert result(tmp_path, "winter", "folder")["sources"] == ["autumn", "summer"]
    code, _, err = command(data_dir=raw, dataset="folder")
    assert code == 0
    assert err.startswith("warning: no --target given: winter, the last domain, is held out\ndone already: ")


def test_a_domain_may_be_small_or_lack_a_class_or_lie_beside_other_folders_if_it_is_said(command, tmp_path):
    raw = tmp_path / "raw"
    made_trees.fill(raw, ("a", "b", "x"), ("cat", "dog"), size=12)
    made_trees.fill(raw, ("b",), ("hen",), size=12)
    for spare in (raw / "a" / "cat").iterdir():
        if spare.name > "pic_001":
            spare.unlink()
    (raw / "notes" / "drafts").mkdir(parents=True)
    folder = {"data_dir": raw, "dataset": "folder"}
    code, _, err = command("--target=x", **folder)
    assert code == 2 and "notes has no pictures at all" in err and "--domains" in err and "--missing-classes" in err
    code, _, err = command("--target=x", "--domains", "a", "b", "x", **folder)
    assert code == 2 and "a has no pictures of class hen; x has no pictures of class hen" in err
    flags = ["--target=x", "--domains", "a", "b", "x", "--missing-classes=allow", "--batch-size=12"]
    code, _, err = command(*flags, **folder)
    assert code == 2 and "training part of a, 8 images; give a smaller one, or --small-sources=repeat" in err
    code, _, err = command(*flags, "--small-sources=repeat", "--augment=standard", **folder)
    assert (code, err) == (0, "")
    found = result(tmp_path, "x", "folder")
    assert found["classes"] == ["cat", "dog", "hen"] and found["test_accuracy_by_class"]["hen"] is None
    assert [sum(row) for row in found["confusion"]] == [2, 2, 0] and found["test_images"] == 4


@pytest.mark.parametrize(
    ("below", "message"),
    [
        (".", "found: raw/a/cat/pic_000.jpg; raw/a/dog/pic_000.jpg; raw/b/cat/pic_000.jpg; give --data-dir=.*/raw$"),
        ("raw/a", "found: cat/pic_000.jpg; dog/pic_000.jpg; if these are pictures of one domain, give .*/raw$"),
        ("raw/a/cat", "found: pic_000.jpg; if these are pictures of one class, give --data-dir=.*/raw$"),
        ("empty", r"it holds no picture \(found: nothing\)$"),
    ],
)
def test_a_folder_at_the_wrong_level_says_which_to_give(below, message, command, tmp_path):
    made_trees.fill(tmp_path / "top" / "raw", ("a", "b", "x"), ("cat", "dog"), per_class=1, size=12)
    (tmp_path / "top" / "empty").mkdir()
    code, _, err = command("--target=x", data_dir=tmp_path / "top" / below, dataset="folder")
    assert code == 2
    assert re.search("DOMAIN/CLASS/PICTURE, but " + message, err.strip()), err


@pytest.mark.parametrize(
    ("flags", "options", "message"),
    [
        (["--target=moon"], {}, "unknown --target for --dataset=pacs: 'moon'; there are: art_painting, cartoon"),
        (["--domains", "A", "S", "moon"], {}, "'moon'; there are: art_painting"),
        ([], {"data_dir": None}, "--dataset=pacs is made from a download: --data-dir=FOLDER says where it is unpacked"),
        ([], {"data_dir": "/no/such/folder"}, "--data-dir: cannot read /no/such/folder: No such file or directory"),
        (["--target=windows"], {"dataset": "emoji"}, "--data-dir is for downloaded datasets; --dataset=emoji is made"),
        (
            ["--target=windows", "--splits-dir=/a"],
            {"dataset": "emoji", "data_dir": None},
            "--splits-dir is for downloaded",
        ),
        (["--weights=/no/such/file"], {}, "/no/such/file"),
        (["--model=resnet18", "--batch-norm=train"], {}, "--batch-norm"),
        (["--batch-size=50"], {}, "--batch-size=50 is larger than the training part of art_painting, 49 images"),
    ],
)
def test_bad_input(command, tmp_path, flags, options, message):
    code, out, err = command(*flags, **options)
    [line] = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert code == 2
    assert message in line
    assert line.startswith("error: ")
    assert out == ""
    assert not (tmp_path / "results").exists()
