"""The datasets by name. Imports no dataset, so that the names can be listed quickly."""

import dataclasses
import importlib

from dg_jax import errors


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What is known of a dataset before it is opened.

    Attributes:
        builder: ``module:class`` of its TFDS builder, whose splits are the domains.
        domains: all domains there are.
        default_domains: the domains used unless others are asked for.
    """

    builder: str
    domains: tuple[str, ...]
    default_domains: tuple[str, ...]


DATASETS = {
    "emoji": DatasetSpec(
        builder="dg_jax.data.emoji:Emoji",
        domains=("apple", "facebook", "google", "joypixels", "samsung", "twitter", "windows"),
        default_domains=("apple", "google", "twitter", "windows"),
    ),
}


def get(name: str) -> DatasetSpec:
    """Returns the dataset called ``name``; an unknown name is a ``UserError`` that lists the known ones."""
    if name not in DATASETS:
        raise errors.unknown("dataset", name, DATASETS)
    return DATASETS[name]


def builder_class(name: str):
    """Imports and returns the TFDS builder of a dataset."""
    module, attribute = get(name).builder.split(":")
    return getattr(importlib.import_module(module), attribute)
