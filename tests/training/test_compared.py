import json

import pytest

from dg_jax import config, errors
from dg_jax.config import methods
from dg_jax.training import compared
from tests.training import worlds


@pytest.fixture
def stored(tmp_path):
    """A run, and the file of its configuration."""
    one = worlds.tiny_config(tmp_path / "results")
    file = tmp_path / "run" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps(compared.to_json(one) | {"inputs": {"pictures": "abc"}}))
    return one, file


def test_the_same_run_is_taken_over_wherever_its_files_are(stored):
    one, file = stored
    for moved in ({}, {"iterations": 9}, {"results_dir": "x"}, {"prepared_dir": "y"}, {"gradients": "accumulated"}):
        compared.check(config.changed(one, **moved), {"pictures": "abc"}, file)


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 5}, {"learning_rate": 0.5}, {"model": "alexnet"}, {"irm": methods.Irm(3.0)}, {"seed": 1}],
)
def test_any_other_setting_is_named(settings, stored):
    one, file = stored
    [name] = settings
    with pytest.raises(errors.UserError, match=f"^{config.flag(name)} is .*, but the run in {file.parent} has "):
        compared.check(config.changed(one, **settings), {"pictures": "abc"}, file)


@pytest.mark.parametrize("inputs", [{}, {"pictures": "other"}, {"pictures": "abc", "weights": "new"}])
def test_other_inputs_are_named(inputs, stored):
    one, file = stored
    changed = "weights" if "weights" in inputs else "pictures"
    with pytest.raises(errors.UserError, match=f"^{changed}: not the same as when {file.parent} was written"):
        compared.check(one, inputs, file)


def test_what_does_not_say_its_inputs_is_refused(stored):
    one, file = stored
    file.write_text(json.dumps(compared.to_json(one)))
    with pytest.raises(errors.UserError, match="was written by an earlier version"):
        compared.check(one, {}, file)


def test_another_setting_is_named_before_the_inputs_that_follow_from_it(stored):
    one, file = stored
    with pytest.raises(errors.UserError, match=r"--model is squeezenet, but the run in .* has small_cnn"):
        compared.check(config.changed(one, model="squeezenet"), {"pictures": "abc", "weights": "b"}, file)
    with pytest.raises(errors.UserError, match="weights: not the same as when"):
        compared.check(one, {"pictures": "abc", "weights": "b"}, file)
