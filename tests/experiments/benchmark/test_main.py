"""Every benchmark in its smallest form writes what it promises."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmark import __main__ as command_line
from experiments.benchmark import gpu, memory
from experiments.benchmark import run as run_benchmark
from tests.data import made_trees

REASON = "torch is not installed: pip install 'dg_jax[benchmark]'"
SPREAD = {"median", "lowest", "highest", "values"}


@pytest.fixture
def memory_in_this_process(monkeypatch):
    """Measures memory in this process, so that no process is started for each contender."""

    def of_child(factory, **arguments):
        module, _, function = factory.partition(":")
        json.dumps(arguments)
        return memory.peak_of(getattr(importlib.import_module(module), function)(**arguments))

    monkeypatch.setattr(memory, "of_child", of_child)


def written(path, name, *flags):
    assert command_line.main([name, *flags, f"--output={path}"]) == 0
    assert path.with_suffix(".md").exists()
    content = json.loads(path.read_text())
    assert content["command"].startswith(f"python -m experiments.benchmark {name}")
    return {table: found["rows"] for table, found in content["tables"].items()}


def test_combiners(tmp_path, memory_in_this_process):
    pytest.importorskip("torch", reason=REASON)
    small = ("--components=3000", "--growth-components=1000", "--growth-rows", "2", "--repetitions=1")
    tables = written(tmp_path / "x.json", "combiners", *small, "--combiners", "deep_all")
    assert [(row["combiner"], row["form"]) for row in tables["combiners"]] == [
        ("deep_all", "tree"),
        ("deep_all", "flat"),
    ]
    for row in tables["combiners"]:
        assert {"ours", "plain", "plain / ours", "bandwidth", "ours, bytes", "plain, bytes"} <= set(row)
        assert set(row["plain / ours"]) == SPREAD
        moved = (3 + 1) * 3000 * 4  # three rows read, one written
        assert row["bandwidth"]["median"] == pytest.approx(moved / row["ours"]["median"])
    assert [row["N"] for row in tables["growth"]] == [2]
    assert all(row["bandwidth"]["median"] > 0 for row in tables["copy"])


def test_family(tmp_path):
    pytest.importorskip("torchjd", reason="torchjd is not installed: pip install 'dg_jax[benchmark]'")
    small = ("--components=3000", "--eight-components=1000", "--rows", "4", "--short-components", "30")
    tables = written(tmp_path / "x.json", "family", *small, "--repetitions=1", "--combiners", "pcgrad", "aligned_mtl")
    assert [(row["rule"], row["form"]) for row in tables["long"][:2]] == [("pcgrad", "tree"), ("aligned_mtl", "tree")]
    assert [(row["rule"], row["N"]) for row in tables["short"]] == [("pcgrad", 4), ("aligned_mtl", 4)]
    assert all(set(row["torchjd / ours"]) == SPREAD for table in tables.values() for row in table)


def test_cheaper(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.benchmark.forms.WIDTH", 8)
    flags = ("--rows", "2", "--combiners", "upgrad", "--k=2", "--steps=2", "--repetitions=1")
    rows = written(tmp_path / "x.json", "cheaper", *flags)["cheaper"]
    assert [row["variant"] for row in rows][::4] == ["the mean", "every 2"] and len(rows) == 6
    assert all(row["mean loss"] <= row["largest loss"] and set(row["over the mean"]) == SPREAD for row in rows)


def test_limit(tmp_path):
    small = ("--components=3000", "--repetitions=1", "--combiners", "agr_sum", "agr_rand", "cagrad", "krum", "weighted")
    rows = written(tmp_path / "x.json", "limit", *small)["limit"]
    moved = {"agr_sum": 4, "agr_rand": 6, "cagrad": 7, "krum": 7, "weighted": 4}
    assert {row["combiner"]: row["moved"] for row in rows} == moved
    assert all(row["ours / limit"]["median"] > 0 and row["ours / deep_all"]["median"] > 0 for row in rows)


@pytest.mark.slow
def test_gpu_does_one_part_after_the_other_until_time_is_over(tmp_path, monkeypatch, capsys):
    quick = {
        "limit": ("limit", "--components=300", "--repetitions=1", "--combiners", "sum"),
        "wrong": ("limit", "--combiners", "foo"),
        "late": ("limit",),
    }
    monkeypatch.setattr(gpu, "PARTS", quick)
    assert command_line.main(["gpu", f"--output={tmp_path / 'all'}", "--parts", "limit", "wrong"]) == 0
    index = (tmp_path / "all" / "index.md").read_text()
    assert "| done |" in index and "| error: unknown name in --combiners: 'foo'" in index
    assert json.loads((tmp_path / "all" / "limit.json").read_text())["benchmark"] == "limit"
    assert command_line.main(["gpu", f"--output={tmp_path}", "--minutes=0", "--parts", "late"]) == 0
    assert "no time was left" in (tmp_path / "index.md").read_text()
    assert gpu.run_part("late", tmp_path, 0) == "not finished in time"


@pytest.mark.slow
def test_devices(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason=REASON)
    monkeypatch.setattr("jax.config.update", lambda name, value: None)  # JAX is in use here
    rows = written(tmp_path / "x.json", "devices", "--counts", "1", "--cases", "agr_sum", "--repetitions=1")["devices"]
    assert [(row["case"], row["devices"], row["sent"]) for row in rows] == [("agr_sum", 1, 0)]
    assert rows[0]["held"] > 0 and set(rows[0]["step"]) == SPREAD


@pytest.mark.slow
def test_step(tmp_path):
    pytest.importorskip("torch", reason=REASON)
    flags = ("--strategies", "deep_all", "mixup", "--batch-size=2", "--steps=1", "--repetitions=1")
    tables = written(tmp_path / "x.json", "step", *flags)
    pooled, mixup = tables["step"]
    assert {"ours", "plain", "ours / plain", "ours / deep_all"} <= set(pooled)
    assert pooled["ours / deep_all"]["median"] == 1
    assert set(mixup) == {"strategy", "compile", "ours", "ours / deep_all"}


def test_run(tmp_path, monkeypatch):
    starts = []

    def child(arguments, **environment):
        starts.append((arguments, environment))
        if arguments[0] == "-c":
            return 1.0, "1.5 0.25\n"  # the times of two imports; for a first step, the last one counts
        if "--help" in arguments:
            return 0.5, ""
        [results] = [flag.removeprefix("--results-dir=") for flag in arguments if flag.startswith("--results-dir=")]
        result = {"sources": ["a", "b"], "images_per_second": 10, "wall_seconds": 3, "iterations": 1, "device": "cpu"}
        for name, content in (("result.json", result), ("config.json", {"batch_size": 5})):
            with open(f"{results}/{name}", "w") as file:
                json.dump(content, file)
        return 7.0, ""

    monkeypatch.setattr(run_benchmark, "child", child)
    tables = written(tmp_path / "x.json", "run", "--repetitions=2", "--preset=paper", "--dataset=pacs")
    assert [row["seconds"]["values"] for row in tables["start-up"]] == [
        [1.5, 1.5],
        [0.25, 0.25],
        [0.25, 0.25],
        [0.5, 0.5],
    ]
    assert len(tables["runs"]) == 5
    assert all(row["step_seconds"] == 1 and row["seconds"] == 7 for row in tables["runs"])
    runs = [(arguments, environment) for arguments, environment in starts if "dg_jax.run" in arguments and environment]
    assert all("--preset=paper" in arguments and "--dataset=pacs" in arguments for arguments, _ in runs)
    caches = [environment["JAX_COMPILATION_CACHE_DIR"] for _, environment in runs]
    assert [caches.index(cache) for cache in caches] == [0, 1, 1, 3, 3, 3]


def test_the_child_that_imports_prints_two_times():
    seconds, printed = run_benchmark.child(["-c", run_benchmark.IMPORTS_UNCOLLECTED])
    theirs, ours = map(float, printed.split())
    assert 0 < ours < theirs + ours < seconds


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_input(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason=REASON)
    input_benchmark = importlib.import_module("experiments.benchmark.input")
    monkeypatch.setattr(input_benchmark, "WORKERS", (0,))
    tree = made_trees.pacs(tmp_path / "pacs", per_class=3)
    flags = (f"--data-dir={tree}", f"--prepared-dir={tmp_path / 'prepared'}", "--image-size=32")
    small = ("--batch-size=2", "--batches=1", "--repetitions=1")
    held, streamed, loader = written(tmp_path / "x.json", "input", *flags, *small)["input"]
    for row in (held, streamed):
        assert {"rate", "open", "rate with opening", "over 0"} <= set(row)
        assert row["rate with opening"]["median"] < row["rate"]["median"]
    assert set(loader) == {"what", "rate"}


def test_peak_memory_of_a_child():
    megabytes = memory.of_child("tests.experiments.benchmark.test_main:allocate", megabytes=200) / 2**20
    assert 190 < megabytes < 260


@pytest.mark.slow
def test_peak_memory_of_a_combiner_leaves_out_the_gradients():
    pytest.importorskip("torch", reason=REASON)
    factory = "experiments.benchmark.combiners:alone"
    peak = memory.of_child(factory, who="ours", combiner="deep_all", form="flat", rows=16, components=2_000_000)
    assert 8e6 <= peak < 8 * 8e6  # the result has 8 MB, the gradients 128


def allocate(megabytes):
    np.ones(300 * 2**20, np.uint8)  # memory that the factory takes does not count
    return lambda: np.ones(megabytes * 2**20, np.uint8)[:1].copy()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["foo"], "error: unknown benchmark 'foo'; there are: combiners, limit, family, step, forms, cheaper,"),
        (["run", "--repetitions=0"], "error: --repetitions=0: give a whole number of at least 1"),
        (["combiners", "--combiners", "mgda"], "error: unknown name in --combiners: 'mgda'"),
    ],
)
def test_errors_are_one_line(arguments, error, capsys):
    if arguments[0] == "combiners":
        pytest.importorskip("torch", reason=REASON)
    assert command_line.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(error)


def test_without_torch_the_error_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "experiments.benchmark.step", raising=False)
    for name in [name for name in sys.modules if name.startswith("experiments.benchmark.rival")]:
        monkeypatch.delitem(sys.modules, name)
    assert command_line.main(["step"]) == 2
    assert "benchmark]" in capsys.readouterr().err


def test_a_run_that_fails_ends_the_benchmark_with_its_error(capsys):
    assert command_line.main(["run", "--repetitions=1", "--batch-size=0"]) == 2
    assert "--batch-size=0" in capsys.readouterr().err


def test_help_names_all_benchmarks():
    shown = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(name in shown for name in command_line.BENCHMARKS)
