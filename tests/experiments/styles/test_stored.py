import pytest

from dg_jax import errors
from experiments.finetune.validations import History
from experiments.styles import stored

FOUND = {
    "three": {
        "line": {
            "deep_all": {0: History([20, 40], [0.5, 0.625], [0.25, 0.375]), 1: History([20], [0.5], [0.125])},
            "agr_sum": {0: History([20, 40], [0.5, 0.625], [0.75, 0.5])},
        }
    },
    "two": {"line": {"deep_all": {2: History([20], [0.5], [0.25])}}},
}


def test_what_was_written_is_read_again(tmp_path):
    path = tmp_path / "validations.csv"
    path.write_text(stored.to_csv(FOUND))
    assert stored.read(path) == FOUND


@pytest.mark.parametrize("text", ["", "a,b\n", stored.to_csv(FOUND) + "three,line,deep_all,0,60,0.5\n", "\0"])
def test_another_file_is_one_line(tmp_path, text):
    path = tmp_path / "validations.csv"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=r"cannot be read: .*; leave --recompute out to make it from the runs"):
        stored.read(path)
    with pytest.raises(errors.UserError, match="cannot be read"):
        stored.read(tmp_path / "missing.csv")
