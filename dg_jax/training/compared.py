"""What must be equal before a run on disk is continued: its settings, and the contents of its inputs."""

import json
import math
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any

from dg_jax import errors
from dg_jax.config import RunConfig, flag, flat
from dg_jax.training.files import read_object

# Settings that may differ between a run and its continuation. For paths the contents of the files are compared.
_NOT_COMPARED = (
    "iterations",
    "data_dir",
    "splits_dir",
    "weights",
    "prepared_dir",
    "results_dir",
    "log",
    "gradients",
    "devices",
    "coordinator",
    "num_processes",
    "process_id",
    "resume",
    "overwrite",
)


_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxdict = 20
_SHORT.maxstring = 200


# The fields read from a configuration, which another version may have written, with a check of each.
NEEDED = {
    **dict.fromkeys(("dataset", "target", "strategy", "batches"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("seed", "iterations"), lambda value: type(value) is int),
    **dict.fromkeys(("learning_rate", "weight_decay"), lambda value: type(value) is float and math.isfinite(value)),
    "combiner": lambda value: value is None or isinstance(value, str),
    "domains": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}


def to_json(config: RunConfig) -> dict:
    """Returns the configuration as JSON stores it, flat as on the command line."""
    return json.loads(json.dumps(flat(config), default=str))


def check_recorded(stored: Mapping[str, Any], place: pathlib.Path) -> None:
    """Raises a ``UserError`` unless the file at ``place`` records which inputs it was made from."""
    if not isinstance(stored.get("inputs"), dict):
        raise errors.UserError(
            f"{place} was written by an earlier version and does not say which pictures, split lists and weights "
            "it used; give --overwrite to do it again, or another --results-dir"
        )


def check_inputs(inputs: Mapping[str, str], stored: Mapping[str, Any], place: pathlib.Path) -> None:
    """Raises a ``UserError`` that names what changed if the inputs are not the recorded ones.

    Args:
        inputs: the inputs as they are now, see :func:`dg_jax.run.identify`.
        stored: what was recorded, with the inputs of that time under ``"inputs"``.
        place: where it is stored.
    """
    check_recorded(stored, place)
    theirs = stored["inputs"]
    changed = [name for name in sorted({*inputs, *theirs}) if inputs.get(name) != theirs.get(name)]
    if changed:
        raise errors.UserError(
            f"{errors.listed(changed)}: not the same as when {place} was written; "
            "give the same, another --results-dir, or --overwrite to start again"
        )


def check(config: RunConfig, inputs: Mapping[str, str], config_file: pathlib.Path) -> None:
    """Raises a ``UserError`` that names the difference if a run on disk had other inputs or settings.

    Args:
        config: the run as it is asked for.
        inputs: see :func:`check_inputs`.
        config_file: the file of the run on disk.

    Raises:
        DamagedError: the file cannot be read.
    """
    ours = {name: value for name, value in to_json(config).items() if name not in _NOT_COMPARED}
    stored = read_object(config_file, dict.fromkeys(NEEDED, lambda value: True))
    check_recorded(stored, config_file.parent)
    for name, value in ours.items():
        if name in stored and stored[name] != value:
            raise errors.UserError(
                f"{flag(name)} is {value}, but the run in {config_file.parent} has {_shown(stored[name])}; "
                "give the same, another --results-dir, or --overwrite to start again"
            )
    check_inputs(inputs, stored, config_file.parent)
    read_object(config_file, dict.fromkeys(ours, lambda value: True))  # none is missing


def _shown(value: Any) -> str:
    """Returns a value from a file for a message. Values of unknown kinds are shortened."""
    return str(value) if isinstance(value, str | float) else _SHORT.repr(value)
