"""No old result passes for a new one: a run's input files are known by their contents, not by their paths."""

import json
import os
import shutil

import numpy as np
import pytest

from dg_jax import models, run
from dg_jax.models import weights
from experiments.finetune import __main__ as finetune
from experiments.gradient_similarity import __main__ as gradient_similarity
from experiments.report import __main__ as report_main
from experiments.report import parts
from experiments.table1 import __main__ as table1
from tests import printed
from tests.data import made_trees
from tests.models import networks

pytestmark = pytest.mark.usefixtures("quick_steps")

TINY = ["--iterations=2", "--val-every=2", "--batch-size=4", "--image-size=8", "--model=linear", "--dataset=folder"]
CLASSES = ("cat", "dog")


@pytest.fixture
def pictures(tmp_path):
    made_trees.fill(tmp_path / "raw", ("a", "b", "x"), CLASSES, size=12)
    return tmp_path / "raw"


@pytest.fixture
def call(tmp_path, pictures, capsys, monkeypatch):
    """Calls a command line on the pictures: ``call(program, *flags) -> (exit code, last line of stderr)``."""
    monkeypatch.setitem(models.MODELS, "linear", networks.Linear)
    monkeypatch.setitem(models.SMALLEST_IMAGE, "linear", 8)
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    places = {"data-dir": pictures, "prepared-dir": tmp_path / "kept", "results-dir": tmp_path / "results"}

    def of(program, *flags):
        code = program.main([*TINY, *(f"--{name}={path}" for name, path in places.items()), *flags])
        err = printed.without_progress(capsys.readouterr().err)
        assert "Traceback" not in err
        return code, (err.splitlines() or [""])[-1]

    return of


def relabel(pictures):
    """Swaps the cats and dogs of the target; the size and time of every file stay the same."""
    (pictures / "x/cat").rename(pictures / "x/other")
    (pictures / "x/dog").rename(pictures / "x/cat")
    (pictures / "x/other").rename(pictures / "x/dog")


def add(pictures):
    made_trees.save(pictures / "a/cat/new.jpg", made_trees.photo(999, 12, 12))


def change_a_byte(pictures):
    """Changes one byte of a file, whose size and time stay the same; its inode changes."""
    path = pictures / "b/dog/pic_003.jpg"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-10] ^= 1
    path.with_name("other").write_bytes(content)
    path.with_name("other").replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES = [(relabel, "x"), (add, "a"), (change_a_byte, "b")]


def is_refused(outcome, what, folder):
    code, line = outcome
    assert line == (
        f"error: {what}: not the same as when {folder} was written; "
        "give the same, another --results-dir, or --overwrite to start again"
    )
    return code == 2


@pytest.mark.parametrize(("change", "domain"), CHANGES)
def test_a_result_of_other_pictures_is_refused_and_named(call, pictures, tmp_path, change, domain):
    folder = tmp_path / "results/folder/x/agr_sum/seed-0"
    assert call(run, "--target=x") == (0, "")
    old = (folder / "result.json").read_bytes()
    change(pictures)
    for flags in ((), ("--resume",), ("--resume", "--iterations=4")):
        assert is_refused(call(run, "--target=x", *flags), f"pictures of {domain}", folder)
    assert (folder / "result.json").read_bytes() == old
    assert call(run, "--target=x", "--overwrite") == (0, "")
    assert call(run, "--target=x")[1].startswith("done already")


def test_a_checkpoint_of_other_pictures_is_refused(call, pictures, tmp_path):
    folder = tmp_path / "results/folder/x/agr_sum/seed-0"
    call(run, "--target=x")
    (folder / "result.json").unlink()  # as if it had been killed before
    add(pictures)
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    assert is_refused(call(run, "--target=x", "--resume", "--iterations=4"), "pictures of a", folder)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_a_folder_that_was_moved_or_touched_is_the_same(call, pictures, tmp_path):
    call(run, "--target=x")
    for path in pictures.rglob("*"):
        os.utime(path, (1, 1))
    assert call(run, "--target=x")[1].startswith("done already")
    shutil.copytree(pictures, tmp_path / "copy")
    shutil.rmtree(pictures)
    assert call(run, "--target=x", f"--data-dir={tmp_path / 'copy'}")[1].startswith("done already")
    code, _ = call(run, "--target=x", f"--data-dir={tmp_path / 'copy'}", "--resume", "--iterations=4")
    assert code == 0
    assert len(list((tmp_path / "kept/folder").glob("*/*/index.json"))) == 1  # prepared once


def test_another_domain_that_takes_no_part_may_change(call, pictures):
    flags = ("--target=x", "--domains", "a", "x", "--strategy=deep_all")
    assert call(run, *flags)[0] == 0
    change_a_byte(pictures)
    assert call(run, *flags)[1].startswith("done already")


def write_lists(folder, test):
    folder.mkdir(exist_ok=True)
    for domain in ("a", "b", "x"):
        for part, numbers in {"train": range(6), "val": range(6, 10), "test": test}.items():
            lines = [f"{domain}/{name}/pic_{i:03}.jpg,{k}\n" for k, name in enumerate(CLASSES, 1) for i in numbers]
            (folder / f"{domain}_{part}.txt").write_text("".join(lines))


def test_other_split_lists_are_refused_and_named(call, tmp_path):
    folder = tmp_path / "results/folder/x/agr_sum/seed-0"
    write_lists(tmp_path / "lists", range(6, 10))
    flags = ("--target=x", f"--splits-dir={tmp_path / 'lists'}")
    assert call(run, *flags) == (0, "")
    shutil.copytree(tmp_path / "lists", tmp_path / "moved")
    assert call(run, "--target=x", f"--splits-dir={tmp_path / 'moved'}")[1].startswith("done already")
    write_lists(tmp_path / "lists", range(5, 10))
    assert is_refused(call(run, *flags), "split list x_test.txt", folder)  # the others are not read
    everything = "split list a_train.txt; split list a_val.txt; split list b_train.txt; split list b_val.txt"
    assert is_refused(call(run, "--target=x"), f"{everything}; split list x_test.txt", folder)


def write_weights(path, value):
    arrays = {"dense.kernel": np.full((192, 2), value, np.float32), "dense.bias": np.zeros(2, np.float32)}
    weights.write(path, arrays, {})


def test_other_weights_are_refused(call, tmp_path):
    folder = tmp_path / "results/folder/x/agr_sum/seed-0"
    write_weights(tmp_path / "w.safetensors", 1)
    flags = ("--target=x", f"--weights={tmp_path / 'w.safetensors'}")
    assert call(run, *flags) == (0, "")
    shutil.copy(tmp_path / "w.safetensors", tmp_path / "moved.safetensors")
    assert call(run, "--target=x", f"--weights={tmp_path / 'moved.safetensors'}")[1].startswith("done already")
    write_weights(tmp_path / "w.safetensors", 2)
    assert is_refused(call(run, *flags), "weights", folder)
    assert is_refused(call(run, "--target=x"), "weights", folder)
    (tmp_path / "w.safetensors").unlink()
    assert call(run, *flags) == (2, f"error: {tmp_path / 'w.safetensors'} cannot be read: No such file or directory")


def forget_inputs(path):
    stored = json.loads(path.read_text())
    del stored["inputs"]
    path.write_text(json.dumps(stored))


def test_a_run_that_does_not_say_what_it_is_of_is_refused_and_done_again(call, tmp_path):
    folder = tmp_path / "results/folder/x/agr_sum/seed-0"
    call(run, "--target=x")
    forget_inputs(folder / "config.json")
    for program, flags in ((run, ["--target=x"]), (table1, ["--targets", "x", "--strategies", "agr_sum", "--seeds=1"])):
        code, line = call(program, *flags)
        assert code == 2
        assert f"{folder} was written by an earlier version and does not say which pictures" in line
    assert call(run, "--target=x", "--overwrite") == (0, "")


SWEEP = ("--targets", "x", "--seeds=2", "--strategies", "deep_all", "agr_sum")


@pytest.mark.parametrize("vectorize", [(), ("--vectorize-seeds",)], ids=["one by one", "side by side"])
def test_a_sweep_does_not_average_runs_of_old_and_new_pictures(call, pictures, tmp_path, vectorize):
    folder = tmp_path / "results/folder/x/deep_all/seed-0"
    assert call(table1, *SWEEP, "--seeds=1", *vectorize)[0] == 0
    relabel(pictures)
    assert is_refused(call(table1, *SWEEP, *vectorize), "pictures of x", folder)
    assert not (tmp_path / "results/folder/x/deep_all/seed-1").exists()
    assert call(table1, *SWEEP, *vectorize, "--overwrite")[0] == 0
    assert call(table1, *SWEEP, *vectorize)[0] == 0


@pytest.mark.parametrize("vectorize", [(), ("--vectorize-seeds",)], ids=["one by one", "side by side"])
def test_each_run_of_a_sweep_has_the_weights_of_its_seed(call, tmp_path, vectorize):
    for seed in range(2):
        write_weights(tmp_path / f"w-{seed}.safetensors", seed)
    flags = ["--seeds=2", "--targets", "x", "--strategies", "deep_all", "--learning-rates", "1e-3", *vectorize]
    flags.append(f"--weights={tmp_path}/w-{{seed}}.safetensors")
    assert call(finetune, *flags)[0] == 0
    folders = [
        tmp_path / f"results/finetune/folder/learning-rate-1e-3/folder/x/deep_all/seed-{seed}" for seed in range(2)
    ]
    for seed, folder in enumerate(folders):
        expected = weights.identify(tmp_path / f"w-{seed}.safetensors")
        assert json.loads((folder / "config.json").read_text())["inputs"]["weights"] == expected
        assert json.loads((folder / "result.json").read_text())["weights_sha256"] == expected
    assert call(finetune, *flags)[0] == 0
    write_weights(tmp_path / "w-1.safetensors", 7)
    assert is_refused(call(finetune, *flags), "weights", folders[1])


SIMILARITY = ("--targets", "x", "--every=1", "--per-domain=2")


def test_measurements_of_other_pictures_are_refused(call, pictures, tmp_path):
    path = tmp_path / "results/gradient_similarity/folder/x/seed-0.json"
    assert call(gradient_similarity, *SIMILARITY)[0] == 0
    relabel(pictures)  # of the target, which is not measured
    assert call(gradient_similarity, *SIMILARITY)[0] == 0
    change_a_byte(pictures)
    assert is_refused(call(gradient_similarity, *SIMILARITY), "pictures of b", path)
    assert call(gradient_similarity, *SIMILARITY, "--overwrite")[0] == 0
    forget_inputs(path)
    assert f"{path} was written by an earlier version" in call(gradient_similarity, *SIMILARITY)[1]


def reported(tmp_path, capsys):
    flags = [f"--results-dir={tmp_path / 'results'}", f"--output={tmp_path / 'report.html'}"]
    assert report_main.main(flags) == 0
    return [line for line in capsys.readouterr().err.splitlines() if "left out" in line]


def test_a_report_leaves_out_what_is_of_other_pictures_than_the_rest(call, pictures, tmp_path, capsys, monkeypatch):
    flags = ("--targets", "x", "--strategies", "deep_all", "agr_sum")
    for program, given in ((table1, [*flags, "--seeds=1"]), (gradient_similarity, SIMILARITY)):
        assert call(program, *given)[0] == 0
    monkeypatch.setattr(parts, "picture", lambda draw, label: "")
    assert reported(tmp_path, capsys) == []
    change_a_byte(pictures)
    for program, given in ((run, ["--target=x", "--seed=1"]), (gradient_similarity, [*SIMILARITY, "--overwrite"])):
        assert call(program, *given)[0] == 0
    root = tmp_path / "results"
    first = root / "folder/x/agr_sum/seed-0"
    places = root / "folder/x/agr_sum/seed-1", root / "gradient_similarity/folder/x/seed-0.json"
    assert reported(tmp_path, capsys) == [
        f"warning: left out: {place}: pictures of b: not the same as in {first}; do one of them again, with --overwrite"
        for place in places
    ]
    forget_inputs(places[0] / "config.json")
    assert f"{places[0]} was written by an earlier version" in reported(tmp_path, capsys)[0]
