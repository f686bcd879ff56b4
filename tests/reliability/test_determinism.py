"""The same command in two processes: the same parameters, bit for bit."""

import json
import os
import subprocess
import sys

import jaxlib
import numpy as np
import pytest

from tests.training import worlds

TRAIN = """
import sys, pathlib
import numpy as np
from tests.training import worlds
from dg_jax import models
import jax
config = worlds.tiny_config(pathlib.Path(sys.argv[1]), strategy="agr_rand", combiner="agr_rand", iterations=8)
worlds.train(config, models.create("small_cnn", 3, jax.random.key(0)))
np.savez(sys.argv[1] + "/state.npz", **worlds.last_state(config))
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_bits(tmp_path):
    processes = []
    for name, hash_seed in (("one", "1"), ("two", "2")):
        folder = tmp_path / name
        folder.mkdir()
        # Each compiles on its own, and has another order of sets.
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
        processes.append(subprocess.Popen([sys.executable, "-c", TRAIN, str(folder)], env=environment))
    assert [process.wait() for process in processes] == [0, 0]
    one, two = (np.load(tmp_path / name / "state.npz") for name in ("one", "two"))
    assert one.files == two.files
    changed = 0
    for name in one.files:
        assert one[name].tobytes() == two[name].tobytes(), name
        changed += name.startswith("['params']") and bool(np.any(one[name]))
    assert changed >= 8
    results = [json.loads(next((tmp_path / name).rglob("result.json")).read_text()) for name in ("one", "two")]
    for result in results:
        for measured in ("wall_seconds", "images_per_second"):
            assert result.pop(measured) > 0
    assert results[0] == results[1]


def test_what_the_bits_depend_on_is_in_the_result(tmp_path):
    """Versions, device and processor; the seed and the weights' checksum are tested with the run."""
    result = worlds.train(worlds.tiny_config(tmp_path))
    assert result["versions"]["jaxlib"] == jaxlib.__version__ and result["versions"]["numpy"] == np.__version__
    assert result["device"] and result["platform"] in ("cpu", "gpu", "tpu")
    assert result["host"]["processor"] and result["host"]["cores"] == os.cpu_count()
