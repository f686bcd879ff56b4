"""The errors that the command line shows as one line, and warnings."""

import functools
import sys
from collections.abc import Mapping


class UserError(Exception):
    """Something that the user can mend. Its message is one line: what, where, what to do.

    Attributes:
        exit_code: what the command line ends with.
    """

    exit_code = 2


class RunError(UserError):
    """What ended one run and says nothing of others: where there are many, the rest goes on."""


class RunsFailedError(UserError):
    """Of many runs some failed, the rest is done and written."""

    exit_code = 1

    def __init__(self, failed: Mapping[str, str]):
        """Takes the reason for each run, by the run's place on disk."""
        named = [f"{place}: {reason}" for place, reason in failed.items()]
        super().__init__(f"{len(named)} failed, the rest is done: {listed(named)}")


def unknown(what: str, name: str, known) -> UserError:
    """Returns the error for a name that is not among the known ones."""
    return UserError(f"unknown {what} {name!r}; there are: {', '.join(known)}")


def listed(items: list[str]) -> str:
    """Returns the first ten of some items in one line, and how many more there are."""
    more = f" (and {len(items) - 10} more)" if len(items) > 10 else ""
    return "; ".join(items[:10]) + more


@functools.cache
def warn(message: str) -> None:
    """Prints a warning on stderr, once in a process however often it is given."""
    print(f"warning: {message}", file=sys.stderr)
