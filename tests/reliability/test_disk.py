"""Full disks, read-only folders, damaged checkpoints, two writers, and clocks that jump."""

import contextlib
import itertools
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import types

import chex
import jax
import numpy as np
import pytest

from dg_jax import errors, run
from dg_jax.config import changed
from dg_jax.data import feed, prepared
from dg_jax.training import checkpoints, files, interrupt, keys, metrics_file, progress, run_folder, selection, step
from tests.data import made_trees
from tests.training import worlds

pytestmark = pytest.mark.slow


TIMES = ("wall_seconds", "images_per_second")


def train(config):
    result = worlds.train(config, worlds.large_model())
    return {name: value for name, value in result.items() if name not in TIMES}


def steps_saved(config):
    return sorted(int(path.name) for path in (run_folder.folder_of(config).checkpoints / "last").iterdir())


@contextlib.contextmanager
def files_of_at_most(num_bytes):
    """Acts like a full disk, for any user: writing more than ``num_bytes`` to a file fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def small_disk(num_bytes):
    """A disk of ``num_bytes`` at a temporary path."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting needs root: {error}")
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(tmp_path):
    whole = train(worlds.tiny_config(tmp_path / "whole"))
    with small_disk(2**23) as disk:
        half = worlds.tiny_config(disk / "results", iterations=2)
        train(half)
        rest = changed(half, iterations=6, resume=True)
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 2**16))  # room for the small files
        with pytest.raises(errors.UserError, match=r"^cannot write .*/last/4: No space left on device; make") as full:
            train(rest)
        assert "\n" not in str(full.value)
        assert steps_saved(rest) == [2]
        assert not run_folder.folder_of(rest).result_file.exists()
        filler.unlink()
        assert train(rest) == whole


def test_a_file_that_cannot_be_written_is_one_line_and_the_run_goes_on_once_it_can(tmp_path):
    undisturbed, half = (worlds.tiny_config(tmp_path / name, iterations=2) for name in ("undisturbed", "half"))
    train(undisturbed)
    # This compiles everything now: the compilation cache that tests share is written to disk as well.
    whole = train(changed(undisturbed, iterations=6, resume=True))
    train(half)
    rest = changed(half, iterations=6, resume=True)
    with (
        files_of_at_most(2**16),
        pytest.raises(errors.UserError, match=r"^cannot write .*/last/4: File too large; make room, or") as full,
    ):
        train(rest)
    assert "\n" not in str(full.value)
    assert steps_saved(rest) == [2]
    assert not run_folder.folder_of(rest).result_file.exists()
    assert train(rest) == whole


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json"])
def test_small_files_are_whole_or_as_they_were(name, tmp_path):
    (tmp_path / name).write_text("before")
    with files_of_at_most(1000), pytest.raises(errors.UserError, match=f"cannot write .*{name}: File too large"):
        files.write_by_rename(tmp_path / name, "x" * 1001)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_a_line_of_metrics_that_does_not_fit_is_forgotten(tmp_path, capsys):
    folder = run_folder.RunFolder(tmp_path)
    folder.append_metrics({"step": 2})
    with files_of_at_most(20), pytest.raises(errors.UserError, match=r"cannot write .*metrics.jsonl: File too large"):
        folder.append_metrics({"step": 4, "val_accuracy": 0.5})
    metrics_file.keep(folder.metrics_file, lambda number: True)
    assert folder.metrics_file.read_text() == '{"step": 2}\n'
    assert capsys.readouterr().err == ""
    folder.metrics_file.write_bytes(b'{"step": 2}\n{"st\xffp": 4}\n[]\n{"step": 6}\n{"ste')
    metrics_file.keep(folder.metrics_file, lambda number: number != 2)
    assert folder.metrics_file.read_text() == '{"step": 6}\n'
    assert capsys.readouterr().err == f"warning: {folder.metrics_file}: 2 damaged lines are left out\n"


def test_a_disk_that_is_full_while_pictures_are_prepared_is_one_line(tmp_path):
    made_trees.fill(tmp_path / "tree", ("photo", "target"), ("cat", "dog"))
    wanted = {"photo": ("train",)}
    places = {"data_dir": tmp_path / "tree", "prepared_dir": tmp_path / "tfds"}
    refused = pytest.raises(errors.UserError, match=r"cannot prepare folder: .*File too large")
    with files_of_at_most(2**14), refused as full:
        prepared.load("folder", wanted, image_size=8, split_seed=0, **places)
    assert "\n" not in str(full.value) and "make room" in str(full.value)
    assert prepared.load("folder", wanted, image_size=8, split_seed=0, **places).classes == ("cat", "dog")


@contextlib.contextmanager
def unprivileged():
    """Acts as the user ``nobody``: root may write even where the mode forbids it."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


RUN = "emoji/windows/agr_sum/seed-0"


@pytest.mark.parametrize(("seed", "closed"), [(1, "emoji/windows/agr_sum"), (0, RUN), (0, f"{RUN}/checkpoints/last")])
def test_a_folder_that_cannot_be_written_is_one_line(seed, closed, tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folder lets only its user in
        config = worlds.tiny_config(pathlib.Path(folder) / "results", iterations=2)
        train(config)
        for path in (pathlib.Path(folder), *config.output.results_dir.rglob("*")):
            path.chmod(0o777)
        read_only = config.output.results_dir / closed
        read_only.chmod(0o555)
        rest = changed(config, iterations=6, seed=seed, resume=True)
        with unprivileged(), pytest.raises(errors.UserError, match=r"cannot write .*: Permission denied; ") as refused:
            train(rest)
        assert "\n" not in str(refused.value)
        assert steps_saved(config) == [2]


def names_and_bytes(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after step 5, with checkpoints of steps 4 and 5, and the result of the whole run."""
    folder = tmp_path_factory.mktemp("stopped")
    whole = train(worlds.tiny_config(folder / "whole"))
    config = worlds.tiny_config(folder / "half")

    def stop(self, number, metrics):
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(progress.Display, "on_step", stop)
        patched.setattr(checkpoints.Checkpoints, "save_if_due", checkpoints.Checkpoints.save)
        with pytest.raises(interrupt.Interrupted):
            train(config)
    assert steps_saved(config) == [4, 5]
    return config, whole


def copied(config, folder):
    shutil.copytree(config.output.results_dir, folder)
    return changed(config, results_dir=folder, resume=True)


def truncate(folder):
    largest = max(folder.rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)


def flip(folder):
    largest = max(folder.rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    content = bytearray(largest.read_bytes())
    for place in range(0, len(content), 97):
        content[place] ^= 0x10
    largest.write_bytes(content)


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("damage", [truncate, flip, empty])
@pytest.mark.parametrize(("steps", "going_on"), [((5,), "going on from step 4"), ((4, 5), "starting again")])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(stopped, damage, steps, going_on, tmp_path, capsys):
    config, whole = stopped
    config = copied(config, tmp_path / "copy")
    last = run_folder.folder_of(config).checkpoints / "last"
    for number in steps:
        damage(last / str(number))
    assert train(config) == whole
    err = capsys.readouterr().err
    assert err.startswith("warning: damaged checkpoint: ") and err.endswith(f"; {going_on}\n") and err.count("\n") == 1
    assert [str(last / str(number)) in err for number in (4, 5)] == [4 in steps, True]
    assert steps_saved(config) == [6]
    assert not list(last.parent.glob("damaged-*"))


@pytest.mark.slow
def test_no_flipped_byte_of_a_checkpoint_gets_into_a_run(stopped, tmp_path, capsys):
    config, _ = stopped
    params, apply_fn = worlds.large_model()
    data = worlds.tiny_dataset()
    sources = [data.domains[domain]["train"] for domain in config.sources]
    batches = feed.domain_batches(sources, keys.key_for(0, keys.Purpose.SAMPLING), config.optimisation.batch_size)
    like = step.make_trainer(config, apply_fn, params, batches).init(params)

    def restored(config):
        with contextlib.closing(checkpoints.Checkpoints(run_folder.folder_of(config).checkpoints)) as store:
            state, best = store.restore(like)
            seconds = store.seconds()
        assert 0 <= seconds < 3600
        return jax.tree.map(np.asarray, (state._replace(key=jax.random.key_data(state.key)), best))

    true = {5: restored(copied(config, tmp_path / "true"))}
    without_5 = copied(config, tmp_path / "without")
    shutil.rmtree(run_folder.folder_of(without_5).checkpoints / "last/5")
    true[4] = restored(without_5)
    rng = random.Random(0)
    files = sorted((run_folder.folder_of(config).checkpoints / "last/5").rglob("*"))
    found = []
    for number, file in enumerate([path for path in files if path.is_file()] * 2):
        damaged = copied(config, tmp_path / str(number))
        path = damaged.output.results_dir / file.relative_to(config.output.results_dir)
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        state, *others = restored(damaged)
        found.append(int(state.step))
        chex.assert_trees_all_equal((state, *others), true[found[-1]])
    assert set(found) == {4, 5}  # some bytes do not matter
    assert capsys.readouterr().err.count("going on from step 4") == found.count(4)


def test_of_two_processes_that_write_one_run_the_second_refuses(tmp_path, monkeypatch, capsys):
    config = worlds.tiny_config(tmp_path, iterations=2)
    train(config)
    folder = run_folder.folder_of(config)
    flags = [
        "--dataset=emoji",
        "--domains",
        *config.data.domains,
        "--batch-size=4",
        "--val-every=2",
        "--image-size=8",
        "--iterations=4",
    ]
    monkeypatch.setattr(run, "load", lambda config: worlds.tiny_dataset())
    monkeypatch.setattr(run, "create_network", lambda config, data: worlds.large_model())
    with run_folder.open_folder(changed(config, resume=True), folder, {}, ()):
        before = names_and_bytes(folder.path)
        for how in ("--resume", "--overwrite"):
            assert run.main([*flags, f"--results-dir={tmp_path}", how]) == 2
            err = capsys.readouterr().err
            assert err == (
                f"error: {folder.path}: another process is writing this run; "
                "wait for it, or give another --results-dir\n"
            )
        assert names_and_bytes(folder.path) == before
    assert run.main([*flags, f"--results-dir={tmp_path}", "--resume"]) == 0


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    whole = train(worlds.tiny_config(tmp_path / "whole"))
    days = itertools.cycle([0, -400, 3, 7000, -1])
    clock, clock_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: clock() + 86400 * next(days))
    monkeypatch.setattr(time, "time_ns", lambda: clock_ns() + 86400 * 10**9 * next(days))
    half = worlds.tiny_config(tmp_path / "jumping", iterations=3)
    start = time.monotonic()
    train(half)
    assert train(changed(half, iterations=6, resume=True)) == whole
    stored = json.loads(run_folder.folder_of(half).result_file.read_text())
    assert 0 <= stored["wall_seconds"] <= time.monotonic() - start


def test_at_most_a_tenth_of_the_time_goes_into_checkpoints(tmp_path, monkeypatch):
    now = [1000.0]
    saved = []

    def write(self, manager, number, args):
        now[0] += 1.0
        saved.append(number)

    monkeypatch.setattr(checkpoints, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints.Checkpoints, "write", write)
    params = {"weights": np.zeros(3)}
    with contextlib.closing(checkpoints.Checkpoints(tmp_path)) as store:
        for number in range(400):
            now[0] += 0.25
            state = step.TrainState(params, (), np.int32(number), np.zeros(2))
            store.save_if_due(state, selection.Selected())
    assert 1 + (now[0] - 1000) / 11 <= len(saved) <= 1 + (now[0] - 1000) / 10
