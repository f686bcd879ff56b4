import jax
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
