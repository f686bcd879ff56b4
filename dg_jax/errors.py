"""The errors that the command line shows as one line, warnings, and what may stand in such a line."""

import functools
import sys
from collections.abc import Mapping

from dg_jax.analysis.text import listed, printable

__all__ = ["RunError", "SomeFailedError", "UserError", "listed", "printable", "warn"]


class UserError(Exception):
    """Something that the user can mend. Its message is one line: what, where, what to do.

    Names of files and words out of them become part of it: it is made :func:`printable`.

    Attributes:
        exit_code: what the command line ends with.
    """

    exit_code = 2

    def __init__(self, message: str):
        super().__init__(printable(message))


class RunError(UserError):
    """Ended one run. Where there are many runs, the others go on."""


class SomeFailedError(UserError):
    """Of many runs, or pictures, some failed; the rest is done."""

    exit_code = 1

    def __init__(self, failed: Mapping[str, str]):
        """Takes the reason for each, by its place on disk."""
        named = [f"{place}: {reason}" for place, reason in failed.items()]
        super().__init__(f"{len(named)} failed, the rest is done: {listed(named)}")


@functools.cache
def warn(message: str) -> None:
    """Says on stderr, in one line, what the user should know; once in a process however often it is given."""
    print(f"warning: {printable(message)}", file=sys.stderr)
