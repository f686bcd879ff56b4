"""The presets that defaults come from: the dataset's, the paper's, or the released code's."""

import dataclasses
import pathlib
from typing import Any

from dg_jax.config import methods, ranges
from dg_jax.config.parts import Data, Machine
from dg_jax.config.run_config import RunConfig, changed, flags_of, flat
from dg_jax.data import registry
from dg_jax.reading import names

# As in models/registry.py, whose imports are slow.
MODELS = ("alexnet", "efficientnet_lite0", "mlp", "mnist_cnn", "resnet18", "resnet50", "small_cnn", "squeezenet")
IMAGENET = pathlib.Path("imagenet")  # a value of --weights: those that a package holds
IN_PACKAGES = ("alexnet", "efficientnet_lite0", "squeezenet")

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

# Only the last module and the last layer are trained, which is four times as quick; docs/does-it-work.md has what it
# does to the accuracy.
_PRETRAINED = _SMALL | {
    "batch_size": 32,
    "model": "squeezenet",
    "weights": IMAGENET,
    "frozen_layers": ("conv1", *(f"fire{number}" for number in range(2, 9))),
    "image_size": 96,
}

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
    "styles": _PRETRAINED,
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
    "folder": _PRETRAINED,
}


def settings(dataset: str, preset: str, model: str = "", *, from_scratch: bool = False) -> dict[str, Any]:
    """Returns what a preset sets for a dataset, by the names of the flags.

    Args:
        dataset: its name.
        preset: its name.
        model: the network wanted, if one is. The weights and the frozen layers of the preset are for its own.
        from_scratch: whether no weights are wanted, and so no frozen layers.
    """
    found = {"paper": PAPER, "released": RELEASED}.get(preset) or PRESETS.get(dataset, PAPER)
    model = names.find(model, MODELS) or model or found["model"]
    left_out = {"frozen_layers"} if from_scratch or model != found["model"] else set()
    if model not in (found["model"], *IN_PACKAGES):
        left_out.add("weights")
    return {name: value for name, value in found.items() if name not in left_out}


def defaults(
    dataset: str = Data.dataset, preset: str = "dataset", model: str = "", *, from_scratch: bool = False
) -> RunConfig:
    """Returns the configuration that the command line starts from; the arguments are those of :func:`settings`.

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
        **settings(dataset, preset, model, from_scratch=from_scratch),
    )


def of_preset(config: RunConfig) -> RunConfig:
    """Returns a configuration with the settings of a configuration's preset."""
    network = config.network
    of_network = settings(config.data.dataset, config.preset, network.model, from_scratch=network.weights is None)
    return changed(RunConfig(), **of_network)


def flags_of_a_sweep(config: RunConfig) -> list[str]:
    """Returns the flags for a table of all strategies with a run's dataset and settings."""
    from_scratch = config.network.weights is None
    usual = flat(defaults(config.data.dataset, config.preset, config.network.model, from_scratch=from_scratch))
    given = flat(config)
    of_one_run = {"strategy", "combiner", "target", "seed", "resume", "overwrite", "log", "preset", *ranges.OF_METHODS}
    of_one_run |= {field.name for field in dataclasses.fields(Machine)}
    shared = {name: value for name, value in given.items() if name not in of_one_run}
    preset = [] if config.preset == "dataset" else [f"--preset={config.preset}"]
    return [f"--dataset={config.data.dataset}", *preset, *flags_of(shared, usual), "--seeds=3"]
