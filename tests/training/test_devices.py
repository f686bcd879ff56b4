"""Training on several devices. Each part is a program (see on_devices.py): XLA counts devices at its start."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from dg_jax import errors
from dg_jax.training import devices
from tests.training import worlds

# Without LLVM's optimisation, which would take longest.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def on_host_devices(count, *command):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count} {QUICK}"}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "number"), [("combiners", 24), ("objectives", 10), ("others", 8)])
def test_the_numbers_of_one_device_and_no_gradient_sent_twice(which, number):
    done = on_host_devices(8, "-m", "tests.training.on_devices", which)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert done.stdout.count("ok\n") == number


def test_how_many_devices(monkeypatch, tmp_path):
    six = jax.devices() * 6
    monkeypatch.setattr(devices.jax, "devices", lambda: six)

    def count(**settings):
        return devices.of_run(worlds.tiny_config(tmp_path, **settings)).mesh

    def refused(message, **settings):
        with pytest.raises(errors.UserError) as raised:
            count(batch_size=16, **settings)
        assert str(raised.value) == message

    assert count() is None  # a CPU
    assert count(devices=1) is None
    refused("--devices=8: there are 6 (cpu)", devices=8)
    too_many = "--batch-size=16 cannot be split over 6 devices; give --devices=4, or --batch-size=18 or 12"
    refused(too_many, devices="all")
    refused(too_many, devices=6)
    made = []
    monkeypatch.setattr(devices, "Layout", lambda chosen: made.append(chosen) or devices.ONE)
    monkeypatch.setattr(devices.backend, "is_cpu", lambda: False)
    for batch_size, wanted in ((16, 4), (12, 6), (7, 1)):
        count(batch_size=batch_size)
        assert len(made.pop()) == wanted


@pytest.mark.parametrize(("asked", "made"), [(2, [2]), (devices.MOST_OF_CPU, [devices.MOST_OF_CPU]), (99_999, [])])
def test_a_cpu_is_taken_for_a_number_of_devices_that_xla_can_start(asked, made, monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", "")
    found = []
    monkeypatch.setattr(devices.jax.config, "update", lambda name, value: found.append(value))
    devices.make_of_cpu(worlds.tiny_config(tmp_path, devices=asked))
    assert found == made


def test_one_device_changes_nothing():
    tree = {"kernel": np.ones((2, 3))}
    for same in (devices.ONE.on_all, devices.ONE.everywhere, devices.ONE.images, devices.ONE.state):
        assert same(tree) is tree
    assert devices.ONE.count == 1
