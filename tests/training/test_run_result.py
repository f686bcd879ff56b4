import json

import pytest

from dg_jax import errors
from dg_jax.config import changed
from dg_jax.training import files, run_folder, run_result
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    one = worlds.tiny_config(tmp_path_factory.mktemp("done"), iterations=2)
    return one, worlds.train(one)


def test_a_finished_run_need_not_be_done_again(done):
    one, result = done
    folder = run_folder.folder_of(one)
    assert run_result.finished(one, folder, dict) == result
    assert run_result.finished(changed(one, overwrite=True), folder, dict) is None
    assert run_result.finished(changed(one, iterations=4, resume=True), folder, dict) is None
    stored, again = run_result.read(folder)
    assert again == result and stored["iterations"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 4}, " has 2; --resume goes on to more, --overwrite starts again"),
        ({"iterations": 1}, " has 2; give the same"),
        ({"batch_size": 3}, "--batch-size is 3, but the run in .* has 4"),
    ],
)
def test_another_run_is_refused(settings, message, done):
    one, _ = done
    with pytest.raises(errors.UserError, match=message):
        run_result.finished(changed(one, **settings), run_folder.folder_of(one), dict)


def test_other_inputs_are_named(done):
    one, _ = done
    with pytest.raises(errors.UserError, match=r"^pictures: not the same as when"):
        run_result.finished(one, run_folder.folder_of(one), lambda: {"pictures": "other"})


def test_the_result_of_another_run_in_a_folder_is_noticed(done, tmp_path):
    one, result = done
    other = run_folder.folder_of(changed(one, results_dir=tmp_path, seed=7))
    other.path.mkdir(parents=True)
    other.config_file.write_text(run_folder.folder_of(one).config_file.read_text())
    other.result_file.write_text(json.dumps(result))
    with pytest.raises(files.DamagedError, match="holds files of another run"):
        run_result.read(other)
