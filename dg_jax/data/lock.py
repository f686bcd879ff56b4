"""Locks on files and folders, so that one process at a time writes."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import IO

from dg_jax import errors

try:
    import fcntl
except ModuleNotFoundError as error:
    raise errors.UserError(
        "dg_jax trains on Linux and macOS, and this system cannot lock files as they do; on Windows use WSL "
        "(dg_jax.surgery works everywhere)"
    ) from error


def take(file: IO) -> None:
    """Locks an open file until it is closed or the process ends; raises ``BlockingIOError`` if it is already locked."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time write into a folder. The lock ends with the process.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
