"""A run that is killed or stopped at any point, and resumed, ends as if nothing had happened."""

import json
import random
import re
import signal

import numpy as np
import pytest

from dg_jax import run
from dg_jax.training import run_folder
from tests import printed
from tests.data import made_trees
from tests.reliability import announced_run
from tests.training import worlds

PHASES = ("preparation", "training", "validation", "checkpoint")
# The longest time from the start of a phase to the signal, in seconds.
LONGEST_DELAY = {"preparation": 0.1, "training": 0.01, "validation": 0.005, "checkpoint": 0.05}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    made_trees.fill(root, ("photo", "sketch", "target"), ("cat", "dog"), per_class=12, size=64)
    return root


def flags_of(pictures, folder):
    """The flags of a run that draws noise from its seed at each step."""
    return [
        *("--dataset=folder", f"--data-dir={pictures}", "--target=target", "--strategy=agr_rand", "--model=small_cnn"),
        *("--iterations=40", "--val-every=2", "--batch-size=4", "--image-size=8", "--learning-rate=0.001"),
        *(f"--prepared-dir={folder / 'tfds'}", f"--results-dir={folder / 'results'}", "--resume"),
    ]


def what_is_left(flags):
    """The state, the result and the metrics of a finished run, except for times."""
    config = run.parse(flags)
    folder = run_folder.folder_of(config)
    timed = ("wall_seconds", "images_per_second")
    lines = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    result = json.loads(folder.result_file.read_text())
    figures = [{name: value for name, value in one.items() if name not in timed} for one in (result, *lines)]
    return worlds.last_state(config), figures


@pytest.fixture(scope="module")
def undisturbed(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    flags = flags_of(pictures, folder)
    assert announced_run.run_with(flags, folder / "stderr").exit_code == 0
    return what_is_left(flags)


def assert_ends_like(undisturbed, flags, tmp_path):
    """Lets the run end, and compares what it leaves, bit for bit; no unfinished file may be left."""
    ended = announced_run.run_with(flags, tmp_path / "stderr")
    assert ended.exit_code == 0, ended.stderr
    (state, figures), (expected_state, expected_figures) = what_is_left(flags), undisturbed
    assert figures == expected_figures
    assert state.keys() == expected_state.keys()
    for name, value in expected_state.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    unfinished = ("*.tmp", "*.orbax-checkpoint-tmp*", "incomplete.*", "*.partial")
    assert not [path for pattern in unfinished for path in tmp_path.rglob(pattern)]


@pytest.mark.slow
def test_a_full_disk_is_one_line_of_the_command_line(pictures, undisturbed, tmp_path):
    flags = flags_of(pictures, tmp_path)
    prepared_first = announced_run.run_with(flags, tmp_path / "stderr", limit=2**17)
    announced_run.run_with(flags, tmp_path / "stderr", announced_run.Fault(signal.SIGKILL, "training", 1, 0.0))
    checkpoint = announced_run.run_with(flags, tmp_path / "stderr", limit=2**17)
    for full, what in ((prepared_first, "cannot prepare folder: .*"), (checkpoint, "cannot write .*/last/2: ")):
        assert full.exit_code == 2
        [line] = printed.without_progress(full.stderr).splitlines()
        assert re.match(f"error: .*{what}File too large.*; make room, or give ", line), line
    assert_ends_like(undisturbed, flags, tmp_path)


# Four runs, each killed five times: twenty times in all.
@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_killed_anywhere_and_resumed_a_run_ends_the_same(number, pictures, undisturbed, tmp_path):
    rng = random.Random(number)
    flags = flags_of(pictures, tmp_path)
    later = ["training", "validation", "checkpoint", rng.choice(PHASES[1:])]
    rng.shuffle(later)
    aimed_at = ["preparation", *later]
    hit = []
    for phase in aimed_at:
        occurrence = 1 if phase == "checkpoint" else rng.randint(1, 3)
        delay = rng.uniform(0, LONGEST_DELAY[phase]) if number else 0.0
        fault = announced_run.Fault(signal.SIGKILL, phase, occurrence, delay)
        killed = announced_run.run_with(flags, tmp_path / "stderr", fault)
        assert killed.exit_code == -signal.SIGKILL
        assert "Traceback" not in killed.stderr
        hit.append(killed.phase)
    assert number or hit == aimed_at  # with a delay, a run may have reached the next phase
    assert_ends_like(undisturbed, flags, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_anywhere_a_run_leaves_a_checkpoint_at_once_and_ends_the_same(number, pictures, undisturbed, tmp_path):
    flags = flags_of(pictures, tmp_path)
    folder = run_folder.folder_of(run.parse(flags))
    steps = []
    for phase in PHASES:
        fault = announced_run.Fault(number, phase, 1, 0.05 if phase == "preparation" else 0.0)
        stopped = announced_run.run_with(flags, tmp_path / "stderr", fault)
        assert stopped.exit_code == 128 + number
        [line] = printed.without_progress(stopped.stderr).splitlines()
        if phase == "preparation":
            assert line == "stopped; --resume goes on from there"
            continue
        steps += map(int, re.findall("^stopped after step (.*) of 40; --resume goes on from there$", line))
        assert max(int(path.name) for path in (folder.checkpoints / "last").iterdir()) == steps[-1]
    # In the first step, in the first validation, and while the checkpoint of step 4 was written.
    assert steps == [1, 2, 4]
    assert not folder.result_file.exists()
    assert_ends_like(undisturbed, flags, tmp_path)
