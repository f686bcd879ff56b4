"""Runs in processes of a real, local Ray: some die, some fail, and the numbers are those of one process."""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import signal
import sys
import threading
import time

import pytest

import experiments
from dg_jax.training import interrupt, run_folder
from experiments.gradient_similarity import __main__ as gradient_similarity
from experiments.table1 import __main__ as table1
from tests.data import made_trees
from tests.training import worlds

DOMAINS = ("paint", "photo", "sketch")
# With a validation, and so a chance to save a checkpoint, at every step.
FLAGS = (
    *("--dataset=folder", "--targets", "sketch", "--strategies", "deep_all", "--seeds=2"),
    *("--model=small_cnn", "--image-size=8", "--iterations=60", "--val-every=1", "--batch-size=4"),
)


@pytest.fixture
def two_workers(monkeypatch):
    """The module under test, with two processes."""
    ray = pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")  # else Ray kills when other programs fill the memory
    monkeypatch.setattr(ray, "init", functools.partial(ray.init, num_cpus=2))
    from experiments import ray_executor

    return ray_executor


def workers_at(folder: pathlib.Path) -> list[int]:
    """The processes that do the run of a folder. Ray names a process after its task."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended in the meantime
            if f"ray::{folder}" == (process / "cmdline").read_text().strip("\0 "):
                found.append(int(process.name))
    return found


def saved(folder: run_folder.RunFolder) -> list[int]:
    """The steps at which there are whole checkpoints."""
    return [int(path.name) for path in (folder.checkpoints / "last").glob("*") if path.name.isdigit()]


class Killer(threading.Thread):
    """Kills the first process that is in the middle of a run and has left a checkpoint.

    Attributes:
        killed: the run whose process was killed; ``None`` if there was none.
        metrics: what was written up to that checkpoint.
    """

    def __init__(self, results_dir: pathlib.Path):
        super().__init__(daemon=True)
        self.results_dir = results_dir
        self.killed: run_folder.RunFolder | None = None
        self.metrics: list[str] = []
        self.is_over = False

    def run(self) -> None:
        while not (self.killed or self.is_over):
            for path in self.results_dir.glob("folder/*/*/*"):
                folder = run_folder.RunFolder(path)
                for worker in workers_at(path) if saved(folder) else []:
                    os.kill(worker, signal.SIGKILL)
                    steps = saved(folder)
                    lines = folder.metrics_file.read_text().splitlines(keepends=True)
                    self.metrics = [
                        line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= max(steps)
                    ]
                    self.killed = folder
                    return
            time.sleep(0.01)


def numbers(results_dir: pathlib.Path) -> dict[str, dict]:
    """The results, without the values that a clock measures."""
    found = {}
    for path in results_dir.glob("folder/*/*/*/result.json"):
        result = json.loads(path.read_text())
        del result["wall_seconds"], result["images_per_second"]
        found[str(path.relative_to(results_dir))] = result
    return found


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_table_is_the_same(two_workers, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())  # drawing takes long
    made_trees.fill(tmp_path / "tree", DOMAINS, ("circle", "square"), per_class=10, size=16)
    flags = [f"--data-dir={tmp_path / 'tree'}", f"--prepared-dir={tmp_path / 'prepared'}", *FLAGS]
    assert table1.main([*flags, f"--results-dir={tmp_path / 'local'}"]) == 0
    local = capfd.readouterr().out
    killer = Killer(tmp_path / "ray")
    killer.start()
    assert table1.main([*flags, f"--results-dir={tmp_path / 'ray'}", "--executor=ray"]) == 0
    killer.is_over = True
    of_ray = capfd.readouterr()
    assert of_ray.out == local
    assert of_ray.err.startswith("written to ") and of_ray.err.count("\n") == 1  # nothing of Ray's own
    assert len(numbers(tmp_path / "ray")) == 2 and numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    # The second attempt went on from the checkpoint: the lines before it are unchanged, even the measured speed.
    assert killer.killed is not None and killer.metrics
    lines = killer.killed.metrics_file.read_text().splitlines(keepends=True)
    assert lines[: len(killer.metrics)] == killer.metrics and len(lines) == 60


@pytest.mark.slow
def test_measurements_are_those_of_one_process(two_workers, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    made_trees.fill(tmp_path / "tree", DOMAINS, ("circle", "square"), per_class=10, size=16)
    flags = [f"--data-dir={tmp_path / 'tree'}", f"--prepared-dir={tmp_path / 'prepared'}"]
    flags += [flag for flag in FLAGS if flag not in ("--strategies", "deep_all")]
    tables = {}
    for executor in ("local", "ray"):
        where = [f"--executor={executor}", f"--results-dir={tmp_path / executor}"]
        assert gradient_similarity.main([*flags, *where]) == 0
        tables[executor] = capfd.readouterr().out
    assert tables["ray"] == tables["local"] and "| sketch | 2 |" in tables["ray"]


BROKEN, DYING, WARNING, ENDLESS = range(4)  # seeds, which stand for what a run does


def attempts(results_dir: pathlib.Path, seed: int) -> pathlib.Path:
    return results_dir / f"attempts-{seed}"


def one_of_many(batch):
    """Stands in for a run, in a process of Ray's."""
    [one] = batch
    with attempts(one.output.results_dir, one.seed).open("a") as file:
        file.write("x")
    print("warning: a picture is damaged\nnoise", file=sys.stderr)
    if one.seed == BROKEN:
        raise OSError("the storage is gone\nand more")
    if one.seed == DYING:
        os.kill(os.getpid(), signal.SIGKILL)
    yield batch, [worlds.train(one) if one.seed == ENDLESS else {"seed": one.seed}]


@pytest.mark.slow
def test_what_fails_three_times_is_reported_and_ctrl_c_leaves_checkpoints(two_workers, tmp_path, capfd):
    configs = [worlds.tiny_config(tmp_path, seed=seed, iterations=10**7) for seed in range(4)]
    folder = run_folder.folder_of(configs[ENDLESS])
    worker = []

    def interrupt_it():
        while not saved(folder):
            time.sleep(0.01)
        worker.extend(workers_at(folder.path))
        os.kill(os.getpid(), signal.SIGINT)

    found = {}
    outcomes = two_workers.outcomes(one_of_many, [[one] for one in configs])
    for [one], outcome in itertools.islice(outcomes, 3):
        found[one.seed] = outcome
    threading.Thread(target=interrupt_it, daemon=True).start()
    with pytest.raises(interrupt.Interrupted) as stopped:
        next(outcomes)
    assert stopped.value.signal_number == signal.SIGINT
    assert found[BROKEN] == "failed 3 times, at last with OSError: the storage is gone"
    assert found[DYING].startswith("failed 3 times, at last with WorkerCrashedError: ")
    assert found[WARNING] == [{"seed": WARNING}]
    assert [len(attempts(tmp_path, seed).read_text()) for seed in range(4)] == [3, 3, 1, 1]
    assert capfd.readouterr() == ("", "warning: a picture is damaged\n")
    # The interrupted run saved the step at which it stopped: nothing was written after that.
    last = json.loads(folder.metrics_file.read_text().splitlines()[-1])
    assert max(saved(folder)) >= last["step"]
    assert worker and not workers_at(folder.path)


def on_its_gpu(batch):
    """Stands in for a run that takes a while."""
    started = time.time()
    time.sleep(0.5)
    yield batch, [{"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "started": started, "ended": time.time()}]


@pytest.mark.slow
def test_each_run_has_a_gpu_to_itself(two_workers, tmp_path, monkeypatch):
    # Ray counts GPUs and hides the others from a process; it does not check that they exist.
    monkeypatch.setattr(two_workers.ray, "init", functools.partial(two_workers.ray.init, num_cpus=4, num_gpus=2))
    batches = [[worlds.tiny_config(tmp_path, seed=seed)] for seed in range(4)]
    ran = [outcome for _, [outcome] in two_workers.outcomes(on_its_gpu, batches)]
    assert {one["gpu"] for one in ran} == {"0", "1"}
    for gpu in ("0", "1"):
        first, *later = sorted((one for one in ran if one["gpu"] == gpu), key=lambda one: one["started"])
        for one in later:
            assert first["ended"] <= one["started"]
            first = one


def test_a_missing_ray_is_one_line(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "experiments.ray_executor", raising=False)
    monkeypatch.delattr(experiments, "ray_executor", raising=False)
    code, out, err = command(table1, "--executor=ray")
    assert (code, out) == (2, "")
    assert err == 'error: --executor=ray needs ray; run: pip install -e ".[cluster]"\n'
    assert not (tmp_path / "results").exists()


def test_no_cluster_at_the_address_is_one_line(command, monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, out, err = command(table1, "--executor=ray", "--seeds=1")
    assert (code, out) == (2, "")
    message = "RAY_ADDRESS=127.0.0.1:1: no Ray to connect to: [Errno 111] Connection refused"
    assert err == f"error: --executor=ray: {message}\n"
