"""The presets that defaults come from: the dataset's, the paper's, or the released code's."""

import dataclasses
import pathlib
from typing import Any

from dg_jax.config import methods, ranges
from dg_jax.config.parts import Machine
from dg_jax.config.run_config import RunConfig, changed, flags_of, flat
from dg_jax.data import registry

# Sections 4.1 and 4.2 of the paper.
PAPER: dict[str, Any] = {
    "iterations": 1000,
    "batch_size": 128,
    "learning_rate": 1e-5,
    "weight_decay": 5e-5,
    "val_every": 20,
    "model": "alexnet",
    "image_size": 224,
}

# Where the authors' code differs from the paper; docs/paper.md has the list.
RELEASED = PAPER | {
    "split_seed": 0,
    "selection": "last",
    "agr_sum": methods.AgrSum(zeros="conflict"),
    "agr_rand": methods.AgrRand(zeros="conflict"),
}

_SMALL = {"iterations": 300, "learning_rate": 1e-3, "weight_decay": 5e-5, "val_every": 20, "model": "small_cnn"}

# DomainBed's defaults.
_DIGITS = {
    "iterations": 5001,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "val_every": 100,
    "model": "mnist_cnn",
    "image_size": 28,
}

# Made to train quickly on a CPU. A dataset without an entry has the paper's preset.
PRESETS: dict[str, dict] = {
    "emoji": _SMALL | {"batch_size": 64, "image_size": 32},
    "styles": {
        "iterations": 240,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "weight_decay": 5e-5,
        "val_every": 20,
        "model": "squeezenet",
        "weights": pathlib.Path("imagenet"),
        "image_size": 96,
    },
    "spirals": {
        "iterations": 400,
        "batch_size": 256,
        "learning_rate": 1e-2,
        "learning_rate_drop": "300:0.1",
        "weight_decay": 1e-3,
        "val_every": 20,
        "model": "mlp",
    },
    "colored_mnist": _DIGITS,
    "rotated_mnist": _DIGITS,
    "folder": _SMALL | {"batch_size": 32, "image_size": 64},
}


def settings(dataset: str, preset: str) -> dict[str, Any]:
    """Returns what a preset sets for a dataset, by the names of the flags."""
    return {"paper": PAPER, "released": RELEASED}.get(preset) or PRESETS.get(dataset, PAPER)


def defaults(dataset: str = "emoji", preset: str = "dataset") -> RunConfig:
    """Returns the configuration that the command line starts from.

    Raises:
        UserError: there is no such dataset.
    """
    dataset = registry.dataset_name(dataset)
    spec = registry.get(dataset)
    return changed(
        RunConfig(),
        dataset=dataset,
        preset=preset,
        domains=spec.default_domains,
        target=spec.default_target,
        **settings(dataset, preset),
    )


def flags_of_a_sweep(config: RunConfig) -> list[str]:
    """Returns the flags for a table of all strategies with a run's dataset and settings."""
    usual, given = flat(defaults(config.data.dataset, config.preset)), flat(config)
    of_one_run = {"strategy", "combiner", "target", "seed", "resume", "overwrite", "log", "preset", *ranges.OF_METHODS}
    of_one_run |= {field.name for field in dataclasses.fields(Machine)}
    shared = {name: value for name, value in given.items() if name not in of_one_run}
    preset = [] if config.preset == "dataset" else [f"--preset={config.preset}"]
    return [f"--dataset={config.data.dataset}", *preset, *flags_of(shared, usual), "--seeds=3"]
