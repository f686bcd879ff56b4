"""Errors and warnings that the command line shows as one line."""

import functools
import sys
from collections.abc import Mapping

from dg_jax.analysis.text import listed, printable

__all__ = ["RunError", "SomeFailedError", "UserError", "listed", "printable", "warn"]


class UserError(Exception):
    """An error that the user can fix. Its message is one line: what, where, what to do.

    The message may hold names of files and words from them, so it is made :func:`printable`.

    Attributes:
        exit_code: the exit code of the command line.
    """

    exit_code = 2

    def __init__(self, message: str):
        super().__init__(printable(message))


class RunError(UserError):
    """An error that ends one run. If there are several runs, the others go on."""


class SomeFailedError(UserError):
    """Some of many runs or pictures failed; the rest is done."""

    exit_code = 1

    def __init__(self, failed: Mapping[str, str]):
        """Takes the reason for each failure, by its place on disk."""
        named = [f"{place}: {reason}" for place, reason in failed.items()]
        super().__init__(f"{len(named)} failed, the rest is done: {listed(named)}")


@functools.cache
def warn(message: str) -> None:
    """Prints a warning of one line on stderr; the same warning only once in a process."""
    print(f"warning: {printable(message)}", file=sys.stderr)
