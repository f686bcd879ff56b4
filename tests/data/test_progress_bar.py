import io

import pytest
from rich import console

from dg_jax.data import progress_bar


@pytest.fixture
def now(monkeypatch):
    """The time, which the test sets."""
    time = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: time[0])
    return time


def test_a_log_gets_a_line_every_ten_seconds_at_most(now, capsys):
    with progress_bar.ProgressBar("runs", 40) as bar:
        for second in range(1, 31):
            now[0] = float(second)
            bar.advance(1, f"run {second}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"runs: {second} of 40 (run {second})" for second in (10, 20, 30)
    ]


def test_what_is_over_soon_prints_nothing(now, capsys):
    with progress_bar.ProgressBar("runs", 2) as bar:
        bar.advance(2)
    assert capsys.readouterr().err == ""


def test_a_name_cannot_break_a_line(now, capsys):
    with progress_bar.ProgressBar("runs", 2) as bar:
        now[0] = 11.0
        bar.advance(1, "two\nlines\x1b[2J")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "\x1b" not in said


@pytest.mark.parametrize("width", [40, 120])
def test_a_terminal_gets_one_line_with_a_bar(width, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # a bar is no use on TERM=dumb
    written = io.StringIO()
    terminal = console.Console(file=written, force_terminal=True, width=width)
    monkeypatch.setattr(progress_bar.console, "Console", lambda **options: terminal)
    with progress_bar.ProgressBar("preparing emoji", 3) as bar:
        for _ in range(3):
            bar.advance()
    shown = written.getvalue()
    assert "preparing emoji" in shown and "3/3" in shown and shown.count("\n") == 1


@pytest.mark.parametrize(("each", "left"), [(20.0, ["40 s", "20 s"]), (700.0, ["23 min", "12 min"])])
def test_the_time_that_is_left_is_told_in_seconds_or_minutes(each, left, now, capsys):
    with progress_bar.ProgressBar("runs", 4) as bar:
        for _ in range(3):
            now[0] += each
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("runs: 1 of 4")
    assert lines[1:] == [f"runs: {done} of 4, {time} left" for done, time in zip((2, 3), left, strict=True)]
