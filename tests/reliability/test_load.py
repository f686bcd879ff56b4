"""Two hundred runs in one process."""

import gc
import os
import pathlib
import threading

import pytest

from dg_jax import run
from dg_jax.command_line import flags
from experiments import sweep
from tests.experiments import made_runs


def resident_bytes() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.slow
def test_two_hundred_runs_in_one_process_take_no_more_memory_than_twenty(monkeypatch, tmp_path):
    made_runs.small(monkeypatch)
    measured = {}
    one_run = run.run

    def counted(*args, **keywords):
        result = one_run(*args, **keywords)
        counted.number += 1
        if counted.number in (20, 200):
            gc.collect()
            files = len(os.listdir("/proc/self/fd"))
            measured[counted.number] = resident_bytes(), files, threading.active_count()
        return result

    counted.number = 0
    monkeypatch.setattr(run, "run", counted)
    given = ["--targets", "windows", "--strategies", "deep_all", "--seeds=200"]
    tiny = ["--iterations=1", "--val-every=1", "--batch-size=4", "--image-size=8", f"--results-dir={tmp_path}"]
    settings = flags.parse(sweep.Sweep, ["--dataset=emoji", "--domains", *made_runs.DOMAINS, *given, *tiny], "sweep")
    assert len(sweep.results(sweep.configs(settings))) == 200
    (memory, files, threads), (more_memory, *others) = measured[20], measured[200]
    assert more_memory < 1.05 * memory
    assert others == [files, threads]
