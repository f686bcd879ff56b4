"""Makes a configuration in Python; names and values may be written as freely as on the command line."""

import dataclasses
import pathlib
import sys
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dg_jax import errors
from dg_jax.config.checks import PATHS, check, resolve
from dg_jax.config.presets import defaults
from dg_jax.config.ranges import RANGES
from dg_jax.config.run_config import RunConfig, changed, choices, flag, flat, types
from dg_jax.reading import names


def configure(**settings: Any) -> RunConfig:
    """Returns the configuration of a run, with the defaults of the command line.

    Args:
        **settings: by the names of the flags with ``_`` for ``-``, such as ``batch_size=32``. Paths may be strings,
            and the settings of a method a dict: ``irm={"penalty_weight": 10.0}``.

    Raises:
        UserError: there is no such setting, or it has a wrong value; the message names the flag.

    Example:
        >>> configure(strategy="AgrSum", target="line", results_dir="runs").output.results_dir.name
        'runs'
    """
    first = {name: _converted(RunConfig(), name, settings[name]) for name in ("dataset", "preset") if name in settings}
    from_scratch = str(settings.get("weights", "")).casefold() == "none"
    usual = defaults(**first, model=str(settings.get("model") or ""), from_scratch=from_scratch)
    config = resolve(with_settings(usual, settings))
    check(config)
    return config


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """Returns a configuration with some settings changed, with values as one writes them in Python.

    Raises:
        UserError: there is no such setting, or its value is of a wrong kind.
    """
    known = flat(config)
    for name in settings:
        if name not in known:
            closest = names.nearest(name, known)
            raise errors.UserError(f"unknown setting {name!r}" + (f"; did you mean {closest}?" if closest else ""))
    return changed(config, **{name: _converted(config, name, value) for name, value in settings.items()})


def _converted(config: RunConfig, name: str, value: Any) -> Any:
    if value is None and flat(RunConfig())[name] is None:
        return None  # a setting that may be left out, also if the preset has a value
    value = _of_python(value) if isinstance(value, np.generic) else value
    of_method = getattr(config.method, name, None)
    if dataclasses.is_dataclass(of_method):
        if isinstance(value, type(of_method)):
            return value
        if not isinstance(value, Mapping):
            raise errors.UserError(f"{flag(name)}={value!r}: give its settings, as a dict")
        given = {key: _in_its_writing(f"{name}.{key}", _of_python(one)) for key, one in value.items()}
        try:
            return dataclasses.replace(of_method, **given)  # type: ignore[type-var]
        except TypeError as error:
            own = ", ".join(field.name for field in dataclasses.fields(of_method))
            raise errors.UserError(f"{flag(name)}={dict(value)}: its settings are {own or 'none'}") from error
    if name in PATHS:
        if not isinstance(value, str | pathlib.Path):
            raise errors.UserError(f"{flag(name)}={value!r}: give a path")
        return pathlib.Path(value)
    usual = flat(config)[name]
    if isinstance(usual, tuple):
        several = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        if not all(isinstance(one, str) for one in several):
            raise errors.UserError(f"{flag(name)}={value!r}: give names")
        return several
    if isinstance(usual, float) and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if isinstance(usual, str | bool) and type(value) is not type(usual):
        raise errors.UserError(f"{flag(name)}={value!r}: give {'text' if isinstance(usual, str) else 'True or False'}")
    may_be_text = str in typing.get_args(dict(types(RunConfig))[flag(name)])
    if may_be_text and not isinstance(value, str) and name not in RANGES:
        raise errors.UserError(f"{flag(name)}={value!r}: give text")
    return _in_its_writing(name, value)


def _of_python(value: Any) -> Any:
    """Returns NumPy's numbers as Python's, and arrays and lists as tuples."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(map(_of_python, value)) if isinstance(value, list) else value


def _in_its_writing(name: str, value: Any) -> Any:
    """Returns the value of a setting with choices in its usual spelling: ``Paper`` -> ``paper``."""
    return (isinstance(value, str) and names.find(value, choices(RunConfig).get(flag(name), ()))) or value
