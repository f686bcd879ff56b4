"""Does runs in this process: one after the other, or several seeds side by side."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING

from dg_jax import config, errors, run

if TYPE_CHECKING:
    from dg_jax.data import dataset

Load = Callable[[config.RunConfig], "dataset.MultiDomainDataset"]
Create = Callable[[config.RunConfig, "dataset.MultiDomainDataset"], tuple]  # parameters and apply_fn
Alike = Callable[[config.RunConfig], Hashable]  # equal for runs that fit into one program
# Runs done together, and their results, or why they failed.
Outcome = tuple[list[config.RunConfig], list[dict] | str]


def one_by_one(missing: list[config.RunConfig], *, load: Load, create: Create | None) -> Iterator[Outcome]:
    """Does runs one after the other; those that share their pictures share a loaded dataset."""
    from dg_jax.training import run_folder

    data: dataset.MultiDomainDataset | None = None
    opened: Hashable = None
    for one in missing:
        try:
            if data is None or one.pictures != opened:
                data, opened = load(one), one.pictures
            outcome: list[dict] | str = [run.run(one, data, create and create(one, data), quiet=True)]
        except errors.RunError as error:
            outcome = str(error)
        except errors.UserError as error:
            raise errors.UserError(f"{run_folder.folder_of(one).path}: {error}") from error
        yield [one], outcome


def apart_from_seed(one: config.RunConfig) -> Hashable:
    """Returns what runs that differ only in their seeds have in common."""
    return dataclasses.replace(one, seed=0)


def groups(missing: Iterable[config.RunConfig], alike: Alike) -> list[list[config.RunConfig]]:
    """Groups the runs that are alike."""
    groups: dict[Hashable, list[config.RunConfig]] = {}
    for one in missing:
        groups.setdefault(alike(one), []).append(one)
    return list(groups.values())


def side_by_side(
    missing: list[config.RunConfig], *, load: Load, create: Create, alike: Alike = apart_from_seed
) -> Iterator[Outcome]:
    """Does runs that are alike together, in one program."""
    data: dict[Hashable, dataset.MultiDomainDataset] = {}
    networks: dict[Hashable, tuple] = {}  # with the hashes of the weights' files, as they were then
    compiled: dict = {}
    for group in groups(missing, alike):
        data = {pictures: data[pictures] for pictures in (one.pictures for one in group) if pictures in data}
        firsts = [one.first_parameters for one in group]
        networks = {first: networks[first] for first in firsts if first in networks}
        for one, first in zip(group, firsts, strict=True):
            if one.pictures not in data:
                data[one.pictures] = load(one)
            if first not in networks:
                networks[first] = create(one, data[one.pictures]), run.identify_weights(one)
            run.check_unseen(one)  # which depends on the target as well
        loaded = [(data[one.pictures], networks[first][1]) for one, first in zip(group, firsts, strict=True)]
        of_group = (
            [dataclasses.replace(own, inputs={**own.inputs, **of_weights}) for own, of_weights in loaded],
            [networks[first][0] for first in firsts],
        )
        try:
            outcome: list[dict] | str = run.run_seeds(group, *of_group, compiled)
        except errors.RunError as error:
            outcome = str(error)
        yield group, outcome
