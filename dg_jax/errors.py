"""The errors that the command line shows as one line, warnings, and what may stand in such a line."""

import functools
import sys
from collections.abc import Mapping

_LONGEST = 4000  # letters of a message: ten names of the longest kind that file systems take


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
    """What ended one run and says nothing of others: where there are many, the rest goes on."""


class RunsFailedError(UserError):
    """Of many runs some failed, the rest is done and written."""

    exit_code = 1

    def __init__(self, failed: Mapping[str, str]):
        """Takes the reason for each run, by the run's place on disk."""
        named = [f"{place}: {reason}" for place, reason in failed.items()]
        super().__init__(f"{len(named)} failed, the rest is done: {listed(named)}")


def listed(items: list[str]) -> str:
    """Returns the first ten of some items in one line, and how many more there are."""
    more = f" (and {len(items) - 10} more)" if len(items) > 10 else ""
    return "; ".join(items[:10]) + more


def printable(text: str) -> str:
    """Returns a text that may hold foreign names such that a terminal or a table can show it.

    Newlines, terminal escapes and whatever else is not to be seen (Unicode's separators but
    the space, controls, marks of direction, lone surrogates) are written as Python writes
    them; of what is longer than 4,000 letters the middle is left out.

    Example:
        >>> printable("cat\\x1b[2J\\n.jpg")
        'cat\\\\x1b[2J\\\\n.jpg'
    """
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in _cut(text))
    return _cut("".join(shown))


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST * 3 // 4]} ... {text[-_LONGEST // 5 :]}"


@functools.cache
def warn(message: str) -> None:
    """Says on stderr, in one line, what the user should know; once in a process however often it is given."""
    print(f"warning: {printable(message)}", file=sys.stderr)
