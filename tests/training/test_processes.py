import os
import socket
import subprocess
import sys

import pytest

from dg_jax import config, errors, run
from dg_jax.training import processes
from tests.training import on_processes, worlds
from tests.training.test_devices import QUICK


def test_one_process_asks_nobody():
    with processes.together():
        assert processes.is_first()
        assert processes.of_first({"a": 1}) == {"a": 1}
        assert processes.largest(3) == 3


@pytest.mark.slow
def test_two_processes_train_the_run_of_one(tmp_path):
    """They agree on what is done, stop together when one is told to, and all end where the first cannot go on."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count=4 {QUICK}"}
    command = [sys.executable, "-m", "tests.training.on_processes", str(tmp_path / "two"), port]
    both = [
        subprocess.Popen([*command, number], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for number in "01"
    ]
    printed = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    first, second = ((tmp_path / f"two.{number}").read_text().splitlines() for number in "01")
    alone = worlds.tiny_config(tmp_path / "one", **on_processes.SETTINGS)
    result = run.run(alone, on_processes.world(), worlds.large_model(), quiet=True)
    alone = config.changed(alone, iterations=8, resume=True)
    longer = run.run(alone, on_processes.world(), worlds.large_model(), quiet=True)
    assert first[0] == second[0] == f"done {result['test_accuracy']}"
    assert first[-1] == second[-1] == f"end {longer['test_accuracy']}"
    assert first[1] == "first stopped stopped after step 6 of 8"
    assert second[1] == "stopped stopped after step 6 of 8"
    assert first[2].startswith("--learning-rate is 0.5, but the run in ")
    assert second[2] == "process 1 stops, as another one could not go on"
    assert "on 8 devices" in printed[0][1]
    assert "irm" not in printed[1][1]  # only the first one says what it does
    wanted = worlds.last_state(alone)
    for path, leaf in worlds.last_state(config.changed(alone, results_dir=tmp_path / "two")).items():
        worlds.assert_same_but_for_signs(leaf, wanted[path], path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coordinator": "here"}, "--coordinator=here: give HOST:PORT, or auto on a cluster that JAX knows"),
        ({"coordinator": "a:65536"}, "--coordinator=a:65536: give HOST:PORT, or auto on a cluster that JAX knows"),
        ({"num_processes": 2}, "--num-processes and --process-id are for --coordinator=HOST:PORT; leave them out"),
        (
            {"coordinator": "a:1", "num_processes": 2, "process_id": 2},
            "--coordinator=a:1 needs --num-processes, and --process-id from 0 up to one less; they are 2 and 2",
        ),
    ],
)
def test_flags_that_do_not_go_together(settings, message, tmp_path):
    with pytest.raises(errors.UserError) as raised:
        config.check_settings(worlds.tiny_config(tmp_path, **settings))
    assert str(raised.value) == message


def test_a_lost_process_ends_this_one_with_one_line(monkeypatch, capsys):
    left = []
    monkeypatch.setattr(processes.os, "_exit", left.append)
    monkeypatch.setattr(processes.jax, "process_count", lambda: 2)
    with processes.ending_with_the_others():
        raise ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer\nmore")
    assert left == [2]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: another process has gone (UNKNOWN: Gloo all-reduce failed")
    with pytest.raises(ValueError, match="another error"), processes.ending_with_the_others():
        raise ValueError("another error")
    monkeypatch.setattr(processes.jax, "process_count", lambda: 1)
    with pytest.raises(ValueError, match="UNKNOWN"), processes.ending_with_the_others():
        raise ValueError("UNKNOWN: here alone")


def test_other_settings_than_those_of_the_first_process_are_named(monkeypatch, tmp_path):
    first = worlds.tiny_config(tmp_path)
    monkeypatch.setattr(processes.jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes.jax, "process_index", lambda: 1)
    sent = {}

    def of_first(value):
        return sent.setdefault("first", value)

    monkeypatch.setattr(processes, "of_first", of_first)
    processes.check_same(first)
    processes.check_same(config.changed(first, process_id=1, results_dir=tmp_path / "elsewhere"))
    with pytest.raises(errors.RunError) as raised:
        processes.check_same(config.changed(first, learning_rate=0.5))
    assert str(raised.value) == (
        f"--learning-rate is 0.5 in process 1 and {first.rates.learning_rate} in process 0; start all processes with "
        "the same flags but --process-id"
    )
