"""Machines that lack something, and settings of JAX that another program made."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models, run
from dg_jax.data import resize, sampling
from tests import printed
from tests.models import networks

TINY = [
    "--dataset=emoji",
    "--iterations=2",
    "--val-every=2",
    "--batch-size=4",
    "--image-size=8",
    "--domains",
    "apple",
    "google",
    "windows",
]
NO_HOME = """
import pwd, sys
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
"""
NO_LOCKS = """
import sys
sys.modules["fcntl"] = None
"""


def call(lacking, module, *flags, cwd):
    """Calls a command line in a process of its own: exit code, stderr."""
    script = f"{lacking}\nfrom {module} import main\nsys.exit(main({list(flags)!r}))"
    here = os.getcwd()
    without = {"HOME", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME", "TFDS_DATA_DIR"}
    environment = {name: value for name, value in os.environ.items() if name not in without} | {"PYTHONPATH": here}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd, env=environment)
    return done.returncode, printed.without_progress(done.stderr)


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        *[
            ("dg_jax.run", [f"{flag}=~/x"], f"{flag}=~/x: there is no home folder; set HOME, or give a path without ~")
            for flag in ("--results-dir", "--prepared-dir", "--weights")
        ],
        ("dg_jax.run", TINY, "--prepared-dir: there is no home folder to keep prepared datasets in; name a folder"),
        ("experiments.samples.__main__", ["--output=~/x.png"], "--output=~/x.png: there is no home folder; set HOME"),
        ("experiments.report.__main__", ["--results-dir=~/x"], "--results-dir=~/x: there is no home folder; set HOME"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_where_a_home_folder_is_wanted_and_there_is_none_it_is_said(module, flags, message, tmp_path):
    code, err = call(NO_HOME, module, *flags, cwd=tmp_path)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_a_home_folder_a_run_is_done(emoji_dir, tmp_path):
    places = [f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path / 'results'}"]
    assert call(NO_HOME, "dg_jax.run", *TINY, *places, cwd=tmp_path) == (0, "")
    assert json.loads((tmp_path / "results/emoji/windows/agr_sum/seed-0/result.json").read_text())["iterations"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("module", ["dg_jax.run", "experiments.table1.__main__"])
def test_a_system_that_cannot_lock_files_is_one_line(module, tmp_path):
    code, err = call(NO_LOCKS, module, f"--results-dir={tmp_path}", f"--prepared-dir={tmp_path}", cwd=tmp_path)
    assert code == 2
    assert err.splitlines()[-1] == (
        "error: dg_jax trains on Linux and macOS, and this system cannot lock files as they do; on Windows use WSL "
        "(dg_jax.surgery works everywhere)"
    )
    assert "Traceback" not in err


def test_surgery_needs_no_locks():
    script = f"{NO_LOCKS}\nfrom dg_jax import surgery\nsurgery.agr_sum()"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("strategy", ["agr_rand", "pcgrad", "group_dro", "irm", "mixup"])
def test_a_run_where_jax_may_not_promote_ranks(strategy, emoji_dir, tmp_path, quick_steps):
    flags = [*TINY, f"--strategy={strategy}", f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path}"]
    with jax.numpy_rank_promotion("raise"):
        assert run.main(flags) == 0


@pytest.mark.parametrize("strategy", ["deep_all", "agr_sum", "agr_rand", "pcgrad"])
def test_a_run_where_jax_looks_for_broken_numbers(strategy, emoji_dir, tmp_path, quick_steps):
    flags = [*TINY, f"--strategy={strategy}", f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path}"]
    with jax.debug_nans(True), jax.debug_infs(True):
        assert run.main(flags) == 0


@pytest.mark.parametrize("size", [16, 20, 30, 70])
def test_pictures_where_jax_may_not_promote_ranks(size):
    pictures = [np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)]
    expected = resize.bilinear(pictures, size)
    jax.clear_caches()
    with jax.numpy_rank_promotion("raise"):
        np.testing.assert_array_equal(resize.bilinear(pictures, size), expected)
        assert sampling.network_input(expected).shape == (1, size, size, 3)


@pytest.mark.parametrize("name", models.MODELS)
def test_networks_where_jax_may_not_promote_ranks(name):
    params, apply_fn = networks.random(name, 5)
    size = max(32, models.SMALLEST_IMAGE[name])
    images = jnp.ones((2, 18) if name == "mlp" else (2, size, size, 3))

    def loss(params):
        return apply_fn(params, images, key=jax.random.key(0), train=True).sum()

    with jax.numpy_rank_promotion("raise"):
        assert jax.eval_shape(jax.grad(loss), params) is not None
