import json

import pytest

from dg_jax import errors
from dg_jax.config import changed
from dg_jax.training import run_folder
from tests.training import worlds


def test_a_run_is_named_by_its_folder(tmp_path):
    one = worlds.tiny_config(tmp_path, seed=3)
    for settings, name in (
        ({}, "agr_sum"),
        ({"strategy": "irm", "combiner": "agr_sum"}, "irm+agr_sum"),
        ({"batches": "single_domain"}, "agr_sum-single_domain"),
    ):
        folder = run_folder.folder_of(changed(one, **settings))
        assert folder.path == tmp_path / "emoji/windows" / name / "seed-3"
    assert not list(tmp_path.iterdir())


def test_an_opened_folder_holds_the_configuration_with_inputs_and_classes(tmp_path):
    one = worlds.tiny_config(tmp_path)
    folder = run_folder.folder_of(one)
    with run_folder.open_folder(one, folder, {"pictures": "abc"}, ("cat", "dog")):
        stored = json.loads(folder.config_file.read_text())
        assert stored["inputs"] == {"pictures": "abc"} and stored["classes"] == ["cat", "dog"]
        assert (stored["iterations"], stored["batch_size"], stored["target"]) == (6, 4, "windows")
        with (
            pytest.raises(errors.RunError, match="another process is writing this run"),
            run_folder.open_folder(one, folder, {}, ()),
        ):
            pass


def test_an_unfinished_run_is_resumed_or_overwritten_and_nothing_else(tmp_path):
    one = worlds.tiny_config(tmp_path)
    folder = run_folder.folder_of(one)
    with run_folder.open_folder(one, folder, {}, ()):
        folder.checkpoints.mkdir()
        folder.append_metrics({"step": 2})
    with pytest.raises(errors.UserError, match="--resume goes on with it, --overwrite starts again"):
        run_folder.open_folder(one, folder, {}, ()).__enter__()
    with run_folder.open_folder(changed(one, resume=True), folder, {}, ()):
        assert folder.metrics_file.exists()
    with run_folder.open_folder(changed(one, overwrite=True), folder, {}, ()):
        assert not folder.checkpoints.exists() and not folder.metrics_file.exists()


def test_a_run_beyond_its_last_step_is_refused(tmp_path):
    one = worlds.tiny_config(tmp_path)
    folder = run_folder.folder_of(one)
    with pytest.raises(errors.UserError, match=r"--iterations=6: the run in .* is at step 7 already"):
        folder.go_on_from(7, one)


def test_irms_annealing_is_settled_and_stays_that_of_the_start(tmp_path):
    one = worlds.tiny_config(tmp_path, strategy="irm", iterations=6)
    folder = run_folder.folder_of(one)
    settled = run_folder.settled(one, folder)
    assert settled.method.irm.anneal_steps == 3
    with run_folder.open_folder(settled, folder, {}, ()):
        folder.checkpoints.mkdir()
    longer = changed(one, iterations=100, resume=True)
    assert run_folder.settled(longer, folder).method.irm.anneal_steps == 3
    assert run_folder.settled(changed(longer, resume=False), folder).method.irm.anneal_steps == 50
