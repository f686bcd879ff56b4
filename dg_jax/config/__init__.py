"""The configuration of a run: its parts, the presets for their defaults, and the checks before a run."""

from dg_jax.config.checks import (
    OF_BATCH_NORM,
    PATHS,
    check,
    check_annealing,
    check_settings,
    resolve,
    warn_of_slow_start,
)
from dg_jax.config.from_python import configure, with_settings
from dg_jax.config.parts import FLAT, Data, Machine, Method, Network, Optimisation, Output, Rates
from dg_jax.config.presets import (
    IMAGENET,
    IN_PACKAGES,
    MODELS,
    PAPER,
    PRESETS,
    RELEASED,
    defaults,
    flags_of_a_sweep,
)
from dg_jax.config.run_config import Config, Parts, RunConfig, changed, choices, flag, flags_of, flat, part_of, types

__all__ = [
    "FLAT",
    "IMAGENET",
    "IN_PACKAGES",
    "MODELS",
    "OF_BATCH_NORM",
    "PAPER",
    "PATHS",
    "PRESETS",
    "RELEASED",
    "Config",
    "Data",
    "Machine",
    "Method",
    "Network",
    "Optimisation",
    "Output",
    "Parts",
    "Rates",
    "RunConfig",
    "changed",
    "check",
    "check_annealing",
    "check_settings",
    "choices",
    "configure",
    "defaults",
    "flag",
    "flags_of",
    "flags_of_a_sweep",
    "flat",
    "part_of",
    "resolve",
    "types",
    "warn_of_slow_start",
    "with_settings",
]
