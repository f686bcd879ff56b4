import io
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import time

import numpy as np
import pytest
from rich import console

from dg_jax.config import changed
from dg_jax.training import progress, run_folder, step
from tests.training import worlds

METRICS = {"agreement": np.float32(0.5), "sigma": np.float32(0.001)}


def shown(monkeypatch, tmp_path, losses=(0.5, 0.25), width=None, combiner=METRICS, number=3, **settings):
    """What a display prints of a short run; on a terminal with ``width`` columns, or without a terminal (None)."""
    printed = io.StringIO()
    terminal = console.Console(file=printed, force_terminal=width is not None, width=width or 80)
    monkeypatch.setattr(progress.console, "Console", lambda **options: terminal)
    config = worlds.tiny_config(tmp_path, **settings)
    with progress.Display(config, True) as display:
        display.begins(worlds.tiny_dataset(), run_folder.folder_of(config), 0, 1)
        display.on_step(number, step.StepMetrics(np.array(losses), combiner))
        display.on_validation({"step": number, "val_accuracy": 0.75})
        display.on_step(number + 1, step.StepMetrics(np.array(losses), combiner))
        display.ends({"target": "windows", "test_accuracy": 0.5, "wall_seconds": 3.2})
    return printed.getvalue()


def last_frame(text):
    """The last line of the bar that a terminal shows, without its colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line for line in re.split(r"[\r\n]", plain) if line.startswith("training")][-1].rstrip()


@pytest.mark.parametrize("iterations", [6, 300, 100_000])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_bar_count_and_time_are_shown_on_any_terminal_and_figures_are_whole(monkeypatch, tmp_path, width, iterations):
    line = last_frame(shown(monkeypatch, tmp_path, width=width, iterations=iterations))
    assert len(line) <= width
    count = rf"4/{iterations}".rjust(2 * len(str(iterations)) + 1)
    figures = re.fullmatch(rf"training [━╸╺ ]+ {re.escape(count)} (\d:\d\d:\d\d|-:--:--) ?(.*)", line)
    assert figures, line
    possible = ["loss 0.375", "validation 75.0%", "agreement 0.5 (random signs 0.5)", "losses apple 0.500 google 0.250"]
    found = figures[2].split(", ") if figures[2] else []
    for figure in found:
        assert figure in [*possible, "sigma 0.001"] or re.fullmatch(r"\d+ images/s", figure)
    wanted = {60: 1, 80: 2, 100: 3, 200: 5} if iterations < 1000 else {60: 1, 80: 1, 100: 2, 200: 5}
    assert len(found) >= wanted[width], line
    assert found[0] == "loss 0.375"


def test_one_loss_of_all_domains_and_a_combiner_without_agreement(monkeypatch, tmp_path):
    line = last_frame(shown(monkeypatch, tmp_path, losses=[0.5], width=200, combiner={}))
    assert "loss 0.500" in line and "apple" not in line and "agreement" not in line


@pytest.mark.parametrize(("losses", "random"), [([0.5, 0.25], "0.5"), ([1.0] * 5, "0.062")])
def test_agreement_stands_beside_that_of_random_signs(monkeypatch, tmp_path, losses, random):
    assert f"agreement 0.5 (random signs {random})" in shown(monkeypatch, tmp_path, losses=losses, width=200)


def test_without_a_terminal_there_are_lines_of_the_start_a_validation_and_the_end(monkeypatch, tmp_path, capsys):
    assert not shown(monkeypatch, tmp_path)
    start, validation, end = capsys.readouterr().err.splitlines()
    assert start == (
        "agr_sum: small_cnn, 8 px, learning rate 0.001, 6 iterations of 4 images of each of apple (12), google (12); "
        f"held out: windows; written to {tmp_path}/emoji/windows/agr_sum/seed-0"
    )
    assert validation.startswith("step 3 of 6: loss 0.375, validation 75.0%, agreement 0.5 (random signs 0.5), losses ")
    assert end == "done in 3 s: 50.0% right on windows"


def test_a_second_line_comes_after_ten_seconds(monkeypatch, tmp_path, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = progress.Display(worlds.tiny_config(tmp_path), True)
    for seconds in (0, 5, 4.9, 0.2, 9, 20):
        now[0] += seconds
        display.on_validation({"step": 2, "val_accuracy": 0.5})
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_nothing_is_shown_where_nothing_is_asked_for(tmp_path, capsys):
    worlds.train(worlds.tiny_config(tmp_path))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [60, 100])
def test_a_run_in_a_real_terminal(columns, emoji_dir, tmp_path):
    flags = ["--iterations=6", "--val-every=2", "--batch-size=4", "--image-size=8", f"--prepared-dir={emoji_dir}"]
    command = [sys.executable, "-m", "dg_jax.run", "--dataset=emoji", *flags, f"--results-dir={tmp_path}"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([ours], [], [], 1)[0]:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
    assert process.wait(60) == 0
    line = last_frame(said.decode())
    assert re.match(r"training [━╸╺ ]+ 6/6 0:00:0\d loss \d", line) and len(line) <= columns, line
    assert pathlib.Path(tmp_path / "emoji/windows/agr_sum/seed-0/result.json").exists()


def test_from_a_checkpoint_the_first_line_says_from_which_step(tmp_path, capsys):
    config = worlds.tiny_config(tmp_path)
    worlds.train(config, show_progress=True)
    worlds.train(changed(config, iterations=8, resume=True), show_progress=True)
    assert "8 iterations from 6 on of 4 images" in capsys.readouterr().err
