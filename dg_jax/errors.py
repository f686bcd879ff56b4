"""The error that the command line shows as one line, and warnings."""

import functools
import sys


class UserError(Exception):
    """Something that the user can mend. Its message is one line: what, where, what to do."""


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
