"""Long work in pieces: a bar on a terminal, and a line from time to time in a log."""

import contextlib
import math
import sys
import time

from rich import console, progress

from dg_jax import errors

_BETWEEN_LINES = 10.0  # seconds


class ProgressBar(contextlib.AbstractContextManager):
    """Counts pieces of work on stderr. If that is no terminal, it prints a line every ten seconds at most.

    Args:
        what: what is counted, such as ``"runs"``.
        total: how many pieces there are.
    """

    def __init__(self, what: str, total: int):
        self._what, self._total = what, total
        terminal = console.Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(10 if terminal.width < 80 else 20),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=terminal,
            disable=not terminal.is_terminal or not total,
            get_time=lambda: time.monotonic(),
            speed_estimate_period=3600.0,  # seconds; a piece may take minutes
        )
        self._task = self._bar.add_task(what, total=total)
        self._next_line = -math.inf

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        self._next_line = time.monotonic() + _BETWEEN_LINES
        return self

    def __exit__(self, *unused) -> None:
        self._bar.stop()

    def advance(self, pieces: int = 1, description: str | None = None) -> None:
        """Counts pieces that are done, and shows what the last of them was."""
        description = errors.printable(description or self._what)
        self._bar.update(self._task, advance=pieces, description=description)
        if self._bar.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _BETWEEN_LINES
            task = self._bar.tasks[self._task]
            left = f", {_duration(task.time_remaining)} left" if task.time_remaining else ""
            last = f" ({description})" if description != self._what else ""
            print(f"{self._what}: {task.completed:.0f} of {self._total}{last}{left}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
