"""Several devices give the numbers of one, however the gradients are sharded; the checks are in meshes.py."""

import os
import subprocess
import sys

import jax
import pytest


@pytest.mark.skipif(not hasattr(jax.sharding, "auto_axes"), reason="this JAX has no Explicit axes")
@pytest.mark.parametrize("devices", [4, 8])
def test_every_combiner_on_auto_and_explicit_axes_and_in_shard_map(devices):
    # Without LLVM's optimisation, which takes longer than everything else.
    flags = (
        f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0 "
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )
    command, environment = [sys.executable, "-m", "tests.surgery.meshes"], {**os.environ, "XLA_FLAGS": flags}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert done.stdout.count("ok\n") > 100
