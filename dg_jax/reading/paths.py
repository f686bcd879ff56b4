"""Paths as the user gives them."""

import pathlib

from dg_jax import errors


def expanded(path: pathlib.Path | str, flag: str) -> pathlib.Path:
    """Returns a path with ``~`` replaced: a shell leaves that of --results-dir=~/runs as it is.

    Raises:
        UserError: there is no home folder, as in a container without HOME whose user has no name.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise errors.UserError(f"{flag}={path}: there is no home folder; set HOME, or give a path without ~") from error
