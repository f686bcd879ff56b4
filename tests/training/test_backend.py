import subprocess
import sys

import jax
import numpy as np
import pytest

from dg_jax.training import backend


@pytest.fixture
def _settings_of_jax(monkeypatch):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("_settings_of_jax")
def test_compiled_programs_are_kept_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backend.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "cache" / "dg_jax")
    assert (tmp_path / "cache" / "dg_jax").is_dir()


@pytest.mark.usefixtures("_settings_of_jax")
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_an_older_jax_keeps_nothing_that_it_would_complain_of(device, monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 1))
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backend.keep_compiled_programs()
    assert (jax.config.jax_compilation_cache_dir is None) == (device == "cpu")
    assert (list(tmp_path.iterdir()) == []) == (device == "cpu")


@pytest.mark.usefixtures("_settings_of_jax")
def test_a_folder_that_the_user_chose_for_compiled_programs_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", "/chosen")
    backend.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == "/chosen"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_settings_of_jax")
def test_where_the_cache_cannot_be_written_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backend.keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize(("device", "library", "calls"), [("cpu", "glibc", 2), ("cpu", "musl", 0), ("gpu", "glibc", 0)])
def test_memory_is_kept_where_the_c_library_is_known_to_give_it_back(device, library, calls, monkeypatch):
    made = []

    class Library:
        def __init__(self, name):
            self.mallopt = lambda option, value: made.append((option, value))

    monkeypatch.setattr(jax, "default_backend", lambda: device)
    monkeypatch.setattr(backend.platform, "libc_ver", lambda: (library, "2.36"))
    monkeypatch.setattr(backend.ctypes, "CDLL", Library)
    backend.keep_memory({"kernel": np.zeros(1_000_000)})
    assert not made  # a large network
    backend.keep_memory({"kernel": np.zeros(100)})
    assert len(made) == calls


def test_a_large_array_is_given_memory_that_was_used_before():
    """Each new page from the system is a page fault; without kept memory, each array would need new pages."""
    script = """
import resource
import numpy as np
from dg_jax.training import backend
backend.keep_memory(np.zeros(10))
np.ones(2**26, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(2**26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    if backend.platform.libc_ver()[0] != "glibc" or not backend.is_cpu():
        pytest.skip("memory is kept with glibc on a CPU only")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5000
