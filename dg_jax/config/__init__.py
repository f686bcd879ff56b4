"""What a run is made of: its parts, the presets that their defaults come from, and what is checked before a run."""

from dg_jax.config.checks import MODELS, check, check_annealing, resolve
from dg_jax.config.methods import Irm
from dg_jax.config.parts import FLAT, Data, Method, Network, Optimisation, Output, Rates
from dg_jax.config.presets import PAPER, PRESETS, RELEASED, defaults
from dg_jax.config.run_config import Config, Parts, RunConfig, changed, flag, flat

__all__ = [
    "FLAT",
    "MODELS",
    "PAPER",
    "PRESETS",
    "RELEASED",
    "Config",
    "Data",
    "Irm",
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
    "defaults",
    "flag",
    "flat",
    "resolve",
]
