"""The configuration of a run: the settings that name it, and its parts."""

import dataclasses
import pathlib
import typing
from collections.abc import Hashable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

import tyro

from dg_jax import strategies
from dg_jax.config.parts import FLAT, Data, Machine, Method, Network, Optimisation, Output, Rates


@dataclasses.dataclass(frozen=True)
class Parts:
    """The settings that one run and an experiment of many runs share."""

    preset: Literal["dataset", "paper", "released"] = "dataset"
    """Where the other defaults come from."""
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=Data)
    network: Annotated[Network, FLAT] = dataclasses.field(default_factory=Network)
    method: Annotated[Method, FLAT] = dataclasses.field(default_factory=Method)
    optimisation: Annotated[Optimisation, FLAT] = dataclasses.field(default_factory=Optimisation)
    output: Annotated[Output, FLAT] = dataclasses.field(default_factory=Output)


Config = TypeVar("Config", bound=Parts)


@dataclasses.dataclass(frozen=True)
class RunConfig(Parts):
    """Train one network on the source domains and test it on a domain that it never saw.

    Defaults are those of the dataset's preset; --preset=paper takes the paper's numbers
    (AlexNet at 224 px, 1000 iterations, 128 images per source, learning rate 1e-5, weight
    decay 5e-5, validation every 20 iterations), --preset=released also follows the authors' code
    where it differs from the paper (docs/paper.md lists where).
    """

    strategy: str = "agr_sum"
    """Which method: deep_all, irm, mldg, mixup, group_dro, vrex, iga, coral, mmd, fishr; or how the gradients of the
    sources' losses are combined: agr_sum, agr_rand, pcgrad, grad_vac, mgda, upgrad, dualproj, cagrad, imtl_g,
    conflict_free, aligned_mtl, nash_mtl, fair_grad, krum, weighted, sum, and_mask, sand_mask, grad_drop, gga_l,
    trimmed_mean, median."""
    target: str = ""
    """The domain held out for testing; all the others are sources. Short names work, such as S for sketch."""
    seed: int = 0
    """Seed of the split, the initial weights, the batches, dropout and the combiner."""
    resume: bool = False
    """Go on from the last checkpoint of this run; --iterations may be larger than before."""
    rates: Annotated[Rates, FLAT] = dataclasses.field(default_factory=Rates)
    machine: Annotated[Machine, FLAT] = dataclasses.field(default_factory=Machine)

    @property
    def sources(self) -> tuple[str, ...]:
        """The domains trained on."""
        return tuple(domain for domain in self.data.domains if domain != self.target)

    @property
    def pictures(self) -> Hashable:
        """Everything that the loaded dataset depends on. Runs with equal values may share a dataset."""
        return self.target, self.data.of_seed(self.seed)

    @property
    def first_parameters(self) -> Hashable:
        """Everything that the network's parameters before the first step depend on."""
        return self.network, self.data.dataset, self.seed

    @property
    def methods(self) -> strategies.Strategy:
        """The objective and the combiner."""
        return strategies.get(self.strategy, self.method.combiner)

    @property
    def weights_file(self) -> pathlib.Path | None:
        """The file that ``weights`` names for this run's seed."""
        return self.network.weights and pathlib.Path(str(self.network.weights).replace("{seed}", str(self.seed)))

    def method_settings(self, method: str) -> dict:
        """Returns the settings of an objective or combiner, ``{}`` if it has none."""
        values = dataclasses.asdict(getattr(self.method, method)) if hasattr(self.method, method) else {}
        if method in strategies.ANNEALED and values["anneal_steps"] is None:
            values["anneal_steps"] = self.optimisation.iterations // 2
        return values


def changed(config: Config, **settings: Any) -> Config:
    """Returns a configuration with some settings changed, by the names of their flags, in all parts.

    Raises:
        TypeError: there is no such setting.

    Example:
        >>> changed(RunConfig(), seed=3, batch_size=32).optimisation.batch_size
        32
    """
    new = {}
    for name, part in _parts_of(config):
        own = {field.name for field in dataclasses.fields(part)} & settings.keys()
        if own:
            new[name] = dataclasses.replace(part, **{setting: settings.pop(setting) for setting in own})
    return dataclasses.replace(config, **new, **settings)


def flat(config: Parts) -> dict[str, Any]:
    """Returns the values of all settings in all parts, by name; those of a single method are a dict."""
    parts = dict(_parts_of(config))
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        **{name: value for name, value in values.items() if name not in parts},
        **{name: value for part in parts.values() for name, value in dataclasses.asdict(part).items()},
    }


def flag(name: str) -> str:
    """Returns the flag of a setting: ``batch_size`` -> ``--batch-size``."""
    return "--" + name.replace("_", "-")


def types(kind: type) -> Iterator[tuple[str, Any]]:
    """Yields the flags of a dataclass, with their types: ``("--seed", int)``, ``("--irm.penalty-weight", float)``."""
    for field in dataclasses.fields(kind):
        type_: Any = field.type
        if tyro.conf.Suppress in getattr(type_, "__metadata__", ()):
            continue
        if part := part_of(field):
            yield from types(part)
        elif isinstance(type_, type) and dataclasses.is_dataclass(type_):
            yield from ((f"{flag(field.name)}.{own.removeprefix('--')}", of_own) for own, of_own in types(type_))
        else:
            yield flag(field.name), type_


def part_of(field: dataclasses.Field) -> type | None:
    """Returns the type of a field if it is a part of a configuration, flat on the command line."""
    return field.type.__origin__ if FLAT in getattr(field.type, "__metadata__", ()) else None  # type: ignore


def choices(kind: type) -> dict[str, tuple[str, ...]]:
    """Returns the values of the flags that have only some.

    Example:
        >>> choices(RunConfig)["--preset"]
        ('dataset', 'paper', 'released')
    """
    return {name: typing.get_args(type_) for name, type_ in types(kind) if typing.get_origin(type_) is Literal}


def flags_of(values: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Returns a flag for each value that differs from its default; a value without a default has no flag.

    Example:
        >>> flags_of({"batch_size": 8, "seed": 0, "overwrite": True}, {"batch_size": 64, "seed": 0, "overwrite": False})
        ['--batch-size=8', '--overwrite']
    """
    flags = []
    for name, value in values.items():
        if name not in usual or value == usual[name]:
            continue
        if isinstance(value, list | tuple):
            flags += [flag(name), *map(str, value)]
        else:
            flags.append(flag(name) if value is True else f"{flag(name)}={value}")
    return flags


def _parts_of(config: Parts) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield field.name, value
