"""Measurements on disk: where they are, what they depend on, and whether stored ones can be reused."""

import json
import pathlib
from collections.abc import Callable

import numpy as np

from dg_jax import config, errors, run
from dg_jax.config import RunConfig
from dg_jax.reading import foreign

# What a measurement depends on.
_SETTINGS = (
    "iterations",
    "batch_size",
    "batches",
    "small_sources",
    "augment",
    "learning_rate",
    "learning_rate_drop",
    "weight_decay",
    "model",
    "hidden_layers",
    "weights",
    "weights_scope",
    "frozen_layers",
    "batch_norm",
    "dtype",
    "image_size",
    "split_seed",
    "splits_dir",
    "skip_damaged",
)


# For these, the contents of the files are compared, see `inputs_of`.
_PATHS = ("weights", "splits_dir")

# What reading a damaged file may raise.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError)


def file_of(run_config: RunConfig) -> pathlib.Path:
    """Returns where a run's measurements are kept."""
    return folder_of(run_config) / run_config.target / f"seed-{run_config.seed}.json"


def folder_of(run_config: RunConfig) -> pathlib.Path:
    """Returns where a dataset's measurements and figures are kept."""
    return run_config.output.results_dir / "gradient_similarity" / run_config.data.dataset


def settings_of(run_config: RunConfig, every: int, per_domain: int) -> dict:
    """Returns what the measurements depend on, as JSON stores it."""
    values: dict = {"sources": run_config.sources}
    values |= {name: value for name, value in config.flat(run_config).items() if name in _SETTINGS}
    values |= {"every": every, "per_domain": per_domain}
    return json.loads(json.dumps(values, default=str))


def inputs_of(run_config: RunConfig) -> dict[str, str]:
    """Identifies by their contents the files that the measurements read, see :func:`dg_jax.run.identify`."""
    pictures = run.identify_parts(run_config.data, parts_of(run_config))
    return {**pictures, **run.identify_weights(run_config)}


def parts_of(run_config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Returns the parts of each domain that a measurement reads."""
    return dict.fromkeys(run_config.sources, ("train",))


def read(path: pathlib.Path) -> dict:
    """Returns measurements as they are on disk.

    Raises:
        OSError, ValueError, KeyError, TypeError, RecursionError: the file is damaged.
    """
    measured = foreign.parse_json(foreign.text(path))
    if not isinstance(measured["settings"], dict):
        raise TypeError("settings is not an object")
    if not all(isinstance(name, str) for name in measured["settings"].get("sources", ())):
        raise TypeError("the name of a source is not text")
    json.dumps(measured, ensure_ascii=False).encode()  # nor is a lone surrogate text
    _check_shapes(measured)
    return measured


def of_run(path: pathlib.Path, settings: dict, identify: Callable[[], dict[str, str]]) -> dict | None:
    """Returns earlier measurements, or ``None`` if there are none or the file is damaged (then it warns on stderr).

    Args:
        path: where they are kept.
        settings: what :func:`settings_of` returns.
        identify: returns what :func:`inputs_of` does.

    Raises:
        UserError: they were made with other settings, or from other inputs.
    """
    from dg_jax.training import compared

    if not path.exists():
        return None
    try:
        measured = read(path)
    except UNREADABLE as error:
        errors.warn(f"{path} is damaged and measured again ({type(error).__name__}: {error})")
        return None
    theirs = measured["settings"]
    different = [name for name in settings if name not in _PATHS and settings[name] != theirs.get(name)]
    if different:
        shown = "; ".join(f"{name} is {settings[name]} here, {theirs.get(name)!s:.200} there" for name in different)
        raise errors.UserError(
            f"{path} was measured with other settings: {shown}; "
            "give the same, another --results-dir, or --overwrite to measure again"
        )
    compared.check_inputs(identify(), measured, path)
    return measured


def _check_shapes(measured: dict) -> None:
    """Raises an error unless T measurements of D domains and L layers are there, all of them finite numbers."""
    layers, steps = measured["layers"], np.array(measured["steps"], float)
    if not layers or not all(isinstance(name, str) for name in layers):
        raise ValueError("no layers")
    for name, rank, last in (("intra", 1, ()), ("inter", 1, ()), ("domains", 3, ()), ("agreement", 2, (len(layers),))):
        values = np.array(measured[name], float)
        if values.ndim != rank or values.shape[:1] != steps.shape or values.shape[rank - len(last) :] != last:
            raise ValueError(f"{name} is {values.shape}, {steps.shape} steps and {len(layers)} layers")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are not finite")
