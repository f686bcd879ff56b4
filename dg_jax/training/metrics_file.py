"""``metrics.jsonl``: one line of JSON for each validation. Only this module reads it."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from dg_jax import errors
from dg_jax.reading import foreign
from dg_jax.training import files

_MOST_BYTES = 32 * 2**20  # about a hundred thousand validations


class Lines(NamedTuple):
    """What a file holds.

    Attributes:
        whole: text and values of each line that has a step.
        damaged: how many other complete lines there are.
        is_cut_off: whether the last line is incomplete.
    """

    whole: list[tuple[str, dict[str, Any]]]
    damaged: int
    is_cut_off: bool


def read(path: pathlib.Path) -> Lines:
    """Reads a file of metrics.

    Raises:
        OSError, ValueError: as :func:`dg_jax.reading.foreign.content`.
    """
    *ended, rest = foreign.content(path, _MOST_BYTES).split(b"\n")
    whole = []
    for line in ended:
        try:
            text = line.decode()
            values = foreign.parse_json(text)
        except ValueError:
            continue
        if isinstance(values, dict) and files.is_count(values.get("step")):
            whole.append((text, values))
    return Lines(whole, len(ended) - len(whole), bool(rest))


def keep(path: pathlib.Path, is_kept: Callable[[int], bool]) -> None:
    """Removes lines whose step ``is_kept`` refuses, an incomplete last line, and damaged lines.

    Raises:
        DamagedError: the file cannot be read.
    """
    if not path.exists():
        return
    try:
        lines = read(path)
    except (OSError, ValueError) as error:
        raise files.DamagedError(f"{path} is damaged ({error}); remove it to go on without its lines") from error
    if lines.damaged:
        errors.warn(f"{path}: {lines.damaged} damaged lines are left out")
    files.write_by_rename(path, "".join(f"{text}\n" for text, values in lines.whole if is_kept(values["step"])))


def validations(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the values of each validation of a finished run.

    Raises:
        DamagedError: the file cannot be read, or a line is not a validation.
    """
    try:
        lines = read(path)
        if lines.damaged or lines.is_cut_off:
            raise ValueError(f"damaged lines, {lines.damaged + lines.is_cut_off} in number")
        for _, values in lines.whole:
            watched = values.get("watched", {})
            if not files.is_fraction(values.get("val_accuracy")) or not isinstance(watched, dict):
                raise ValueError(f"no accuracy at step {values['step']}")
            if not all(map(files.is_fraction, watched.values())):
                raise ValueError(f"no accuracy of a watched part at step {values['step']}")
    except (OSError, ValueError) as error:
        raise files.DamagedError(f"{path} is damaged ({error}); remove {path.parent} to do the run again") from error
    return [values for _, values in lines.whole]


def watched(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns what was recorded at each validation of a finished run whose dataset has watched parts.

    Returns:
        For each validation the values of ``"step"``, ``"val_accuracy"`` and ``"watched"`` (name of
        the part -> accuracy).

    Raises:
        DamagedError: the file cannot be read, or the run watched nothing.
    """
    lines = validations(path)
    if not lines or not all("watched" in line for line in lines):
        raise files.DamagedError(f"{path} is damaged (nothing was watched); remove {path.parent} to do the run again")
    return [{name: line[name] for name in ("step", "val_accuracy", "watched")} for line in lines]
