"""Reads text that another program may have written, up to a limit, and parses it strictly."""

import json
import pathlib
from typing import Any

MOST_BYTES = 16 * 2**20  # parsed, the worst JSON takes many times as much memory


def text(path: pathlib.Path, most_bytes: int = MOST_BYTES) -> str:
    """Reads a UTF-8 text file; raises the errors of :func:`content`, and a ``ValueError`` if it is not UTF-8."""
    return content(path, most_bytes).decode()


def content(path: pathlib.Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Reads a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a regular file (reading a named pipe may never end), or has more than ``most_bytes``.
    """
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    size = path.stat().st_size
    if size > most_bytes:
        raise ValueError(f"{size} bytes, more than {most_bytes}")
    return path.read_bytes()


def parse_json(content: str) -> Any:
    """Parses JSON; NaN and infinity are refused.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
