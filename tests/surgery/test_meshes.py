"""The numbers of one device, however gradients lie on several; what is checked is in meshes.py."""

import subprocess
import sys

import jax
import pytest


@pytest.mark.skipif(not hasattr(jax.sharding, "auto_axes"), reason="this JAX has no Explicit axes")
@pytest.mark.parametrize("devices", [4, 8])
def test_every_combiner_on_auto_and_explicit_axes_and_in_shard_map(devices):
    command = [sys.executable, "-m", "tests.surgery.meshes", str(devices)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert done.stdout.count("ok\n") > 100
