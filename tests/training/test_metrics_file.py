import json

import pytest

from dg_jax.training import files, metrics_file

LINES = [{"step": step, "val_accuracy": step / 10, "watched": {"target": 0.5}} for step in (2, 4, 6)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_validations_are_read_as_they_were_written(path):
    assert metrics_file.validations(path) == LINES
    assert metrics_file.watched(path) == LINES


def test_lines_beyond_a_step_are_forgotten_and_what_was_cut_off_too(path):
    with path.open("a") as file:
        file.write('{"step": 8, "val_acc')
    metrics_file.keep(path, lambda step: step <= 4)
    assert metrics_file.validations(path) == LINES[:2]
    metrics_file.keep(path.with_name("missing"), lambda step: True)


@pytest.mark.parametrize("line", ['{"step": 8', '{"step": 8, "val_accuracy": 3.0}\n', "[]\n", "\xff\n"])
def test_of_a_finished_run_every_line_must_be_whole(line, path):
    with path.open("a", encoding="latin-1") as file:
        file.write(line)
    with pytest.raises(files.DamagedError, match="is damaged"):
        metrics_file.validations(path)


def test_a_run_that_watched_nothing_says_so(path):
    path.write_text('{"step": 2, "val_accuracy": 0.5}\n')
    with pytest.raises(files.DamagedError, match="nothing was watched"):
        metrics_file.watched(path)
