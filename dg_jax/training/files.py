"""Files of a run: written whole or not at all, and checked when they are read."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dg_jax import errors
from dg_jax.reading import foreign


class DamagedError(errors.UserError):
    """Files of a run on disk that cannot be read."""


def read_object(path: pathlib.Path, needed: Mapping[str, Callable[[Any], bool]]) -> dict:
    """Reads a JSON object that must have certain keys, and checks the value of each.

    Raises:
        DamagedError: it cannot be read, or a value is missing or wrong.
    """
    try:
        stored = foreign.parse_json(foreign.text(path))
        if not isinstance(stored, dict):
            raise ValueError("no JSON object")
        wrong = [name for name, is_right in needed.items() if name not in stored or not is_right(stored[name])]
        if wrong:
            raise ValueError(f"missing or wrong: {errors.listed(wrong)}; another version may have written it")
        json.dumps(stored, ensure_ascii=False).encode()  # refuses a lone surrogate, which is not text
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({error}); remove {path.parent} to do the run again") from error
    return stored


def is_count(value: Any) -> bool:
    """Whether a value from JSON is a number of steps."""
    return type(value) is int and 0 <= value < 2**63  # true and false are integers to Python


def is_fraction(value: Any) -> bool:
    """Whether a value from JSON is an accuracy."""
    return isinstance(value, float) and 0 <= value <= 1


def is_square(value: Any) -> bool:
    """Whether a value from JSON is a square matrix of counts, not all zero, as a confusion matrix is."""
    rows = value if isinstance(value, list) else []
    is_of_counts = all(isinstance(row, list) and len(row) == len(rows) and all(map(is_count, row)) for row in rows)
    return is_of_counts and any(map(any, rows))


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file whole or not at all; raises an ``OSError`` if it cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_by_rename(path: pathlib.Path, text: str) -> None:
    """Writes a file of a run as :func:`write_whole` does; raises a ``UserError`` if it cannot be written."""
    with writing(path):
        write_whole(path, text)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turns an ``OSError``, such as a full disk, into a ``UserError``."""
    try:
        yield
    except OSError as error:
        raise errors.UserError(
            f"cannot write {error.filename or path}: {error.strerror}; "
            "make room, or give another --results-dir (what is there stays)"
        ) from error
