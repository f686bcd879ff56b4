import pytest

from dg_jax import errors
from dg_jax.training import files


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    files.write_by_rename(path, "first")
    with pytest.raises(errors.UserError, match=r"cannot write .*missing/result.json"):
        files.write_by_rename(tmp_path / "missing/result.json", "second")
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.UserError, match=r"cannot write .*folder"):
        files.write_by_rename(tmp_path / "folder", "second")
    assert path.read_text() == "first" and sorted(one.name for one in tmp_path.iterdir()) == ["folder", "result.json"]


@pytest.mark.parametrize(
    "text", ['{"steps": "three"}', "{}", "[]", "{", '{"steps": NaN}', '{"steps": 3, "x": "\\ud800"}']
)
def test_an_object_without_what_is_needed_is_damaged(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(files.DamagedError, match=f"{path} is damaged .*; remove {tmp_path} to do the run again"):
        files.read_object(path, {"steps": files.is_count})
    path.write_text('{"steps": 3, "more": true}')
    assert files.read_object(path, {"steps": files.is_count}) == {"steps": 3, "more": True}


@pytest.mark.parametrize(("value", "count", "fraction"), [
    (0, True, False), (3, True, False), (-1, False, False), (True, False, False), (2**63, False, False),
    (0.5, False, True), (1.0, False, True), (1.5, False, False), (float("nan"), False, False), ("1", False, False),
])  # fmt: skip
def test_what_is_a_number_of_steps_and_what_an_accuracy(value, count, fraction):
    assert (files.is_count(value), files.is_fraction(value)) == (count, fraction)
