import atexit
import os
import pathlib
import shutil
import signal
import tempfile

import chex
import hypothesis
import jax
import pytest

from dg_jax import errors
from dg_jax.training import backend
from tests import quick

# A shell makes its background processes ignore SIGINT. Processes that tests start and stop would inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the time of the first example of a property includes compilation.
hypothesis.settings.register_profile("jax", deadline=None, max_examples=60)
hypothesis.settings.load_profile("jax")

# Many tests compile the same tiny programs. The workers of pytest-xdist and the processes that tests start inherit
# this variable of JAX, and so share the compiled programs.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="dg_jax-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def _count_traces_of_this_test_only():
    chex.clear_trace_counter()


@pytest.fixture(autouse=True)
def _warnings_are_repeated_in_each_test():
    errors.warn.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def _not_too_many_programs():
    """Forgets compiled programs before they reach the number of memory maps that Linux allows a process, 65,530."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture
def quick_steps(monkeypatch):
    """Compiles training steps as :func:`tests.quick.jit` does: to compile the draw of the batch would take longest."""
    monkeypatch.setattr(backend, "compiler_options", lambda: quick.OPTIONS)


@pytest.fixture(scope="session")
def emoji_dir(tmp_path_factory, worker_id):
    """A TFDS directory with the emoji dataset prepared, once for all tests and workers."""
    from dg_jax.data import prepared

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "tfds"
    prepared.load("emoji", {"apple": ("train",)}, image_size=8, split_seed=0, prepared_dir=folder)
    return folder
