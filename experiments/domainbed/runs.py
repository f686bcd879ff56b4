"""The runs of a search: for each trial one without each target and, for cross-validation, one without each pair."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

from dg_jax import config, errors, strategies
from dg_jax.config import ranges
from dg_jax.data import dataset, registry
from experiments import sweep
from experiments.domainbed import search

Rule = Literal["training_domain", "leave_one_out", "oracle"]
DATASETS = ("colored_mnist", "rotated_mnist")
MOST_TRIALS = 1000


@dataclasses.dataclass(frozen=True)
class Search(config.Parts):
    """Compare strategies by DomainBed's protocol: random search, and three rules that select."""

    strategies: tuple[str, ...] = (
        "deep_all",
        "irm",
        "group_dro",
        "mixup",
        "mldg",
        "coral",
        "mmd",
        "vrex",
        "agr_sum",
        "agr_rand",
        "pcgrad",
    )
    """Which strategies. DomainBed calls deep_all ERM."""
    targets: tuple[str, ...] = ()
    """The domains held out, one after the other. By default each."""
    trials: int = 20
    """How many settings of each strategy are tried; the first are DomainBed's defaults."""
    data_seeds: int = 3
    """How often the whole search is done, each time with another split."""
    rules: tuple[Rule, ...] = ("training_domain", "leave_one_out", "oracle")
    """How trial and step are selected: by the validation parts of the sources; by domains that are left out of the
    sources as well, which needs a run without each pair of domains; or by the target itself."""
    side_by_side: bool = False
    """Train runs of the same shapes in one program: those of a trial that differ in their domains. Faster on a GPU; no
    checkpoints."""
    executor: Literal["local", "ray"] = "local"
    """Where the runs are done: one after the other in this process, or side by side as tasks of Ray."""


class Planned(NamedTuple):
    """A run of the search.

    Attributes:
        run: its configuration.
        left_out: the domain that is left out beside its target, if there is one.
        trial: number of the trial.
        data_seed: number of the split.
    """

    run: config.RunConfig
    left_out: str | None
    trial: int
    data_seed: int

    @property
    def held_out(self) -> tuple[str, ...]:
        """The target, and what is left out beside it."""
        return (self.run.target, *([self.left_out] if self.left_out else []))

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains of the search."""
        chosen = {*self.run.data.domains, *self.held_out}
        return tuple(domain for domain in registry.get(self.run.data.dataset).domains if domain in chosen)


def plan(settings: Search) -> list[Planned]:
    """Returns the runs of a search, the shared ones once.

    Raises:
        UserError: they cannot be done; the message names the flag.
    """
    check(settings)
    full_name = functools.partial(registry.full_name, settings.data.dataset)
    domains = settings.data.domains
    targets = [full_name(target) for target in settings.targets] or list(domains)
    methods = [strategies.full_name(name) for name in settings.strategies]
    for name, given in (("--strategies", methods), ("--targets", targets), ("--rules", settings.rules)):
        if not given:
            raise errors.UserError(f"{name}: name at least one")
        if len(set(given)) != len(given):
            raise errors.UserError(f"{name} names one twice: {' '.join(given)}")
    for target in targets:
        if target not in domains:
            raise errors.UserError(f"--targets: {target} is not among --domains {' '.join(domains)}")
    held_out: list[tuple[str, str | None]] = [(target, None) for target in domains if target in targets]
    pairs: list[tuple[str, str | None]] = []
    if "leave_one_out" in settings.rules:
        if len(domains) < 3:
            raise errors.UserError(
                f"--rules leave_one_out: --domains {' '.join(domains)} has no domain to leave out beside a target and "
                "a source; name three domains or more, or leave the rule out"
            )
        pairs = [pair for pair in itertools.combinations(domains, 2) if set(pair) & set(targets)]
    in_use = [strategies.get(method, settings.method.combiner) for method in methods]
    sweep.check_in_use(settings, {name for one in in_use for name in (one.objective, one.combiner)})
    found = []
    for method in methods:
        has_pairs = len(domains) > 3 or strategies.get(method).objective != "mldg"
        if pairs and not has_pairs:
            errors.warn("mldg needs two sources, and leave_one_out leaves it one: that table will lack it")
        found += [
            Planned(_run(settings, method, target, left_out, trial, data_seed), left_out, trial, data_seed)
            for data_seed in range(settings.data_seeds)
            for trial in range(settings.trials)
            for target, left_out in (*held_out, *(pairs if has_pairs else []))
        ]
    for planned in found:
        if len(planned.run.sources) > 1 or not planned.left_out:  # many methods are plain training on one source
            config.check(_annealed_in_time(planned.run))
    return found


def check(settings: Search) -> None:
    """Raises a ``UserError`` if a setting is out of its range, or would be without effect."""
    if settings.data.dataset not in DATASETS:
        raise errors.UserError(
            f"--dataset={settings.data.dataset}: the ranges are those for digits; give --dataset={DATASETS[0]} or "
            f"{DATASETS[1]}"
        )
    if settings.preset != "dataset":
        raise errors.UserError(f"--preset={settings.preset}: the settings are DomainBed's; leave it out")
    for name, value in (("trials", settings.trials), ("data-seeds", settings.data_seeds)):
        if not 1 <= value <= MOST_TRIALS:
            raise errors.UserError(f"--{name}={value}: give a whole number from 1 to {MOST_TRIALS}")
    usual = config.flat(config.defaults(settings.data.dataset, settings.preset))
    given = config.flat(settings)
    for name in ("batch_size", "split_seed"):
        if given[name] != usual[name]:
            raise errors.UserError(f"{config.flag(name)}={given[name]}: each trial draws its own; leave it out")
    for method, searched in search.OF_METHODS.items():
        for name in searched:
            if given[method][name] != usual[method][name]:
                raise errors.UserError(
                    f"{config.flag(method)}.{name.replace('_', '-')}: each trial draws its own; leave it out"
                )


def folder_of(settings: Search) -> pathlib.Path:
    """Returns where runs and tables go."""
    return settings.output.results_dir / "domainbed"


def _run(
    settings: Search, method: str, target: str, left_out: str | None, trial: int, data_seed: int
) -> config.RunConfig:
    """The configuration of a run."""
    parts = {field.name: getattr(settings, field.name) for field in dataclasses.fields(config.Parts)}
    one = config.RunConfig(
        **parts,
        strategy=method,
        target=target,
        seed=MOST_TRIALS * data_seed + trial,
        resume=not settings.output.overwrite,
    )
    shared = search.drawn(search.SHARED, trial, data_seed)
    in_use = {one.methods.objective, one.methods.combiner}
    usual = config.defaults(settings.data.dataset, settings.preset).method
    groups = {name: getattr(usual, name) for name in ranges.OF_METHODS if name not in in_use}
    for name in in_use & search.OF_METHODS.keys():
        drawn = search.drawn(search.OF_METHODS[name], trial, data_seed)
        groups[name] = dataclasses.replace(getattr(one.method, name), **drawn)
    folder = folder_of(settings) / (f"without-{left_out}" if left_out else "")
    return config.changed(
        one,
        domains=tuple(domain for domain in settings.data.domains if domain != left_out),
        split_seed=data_seed,
        results_dir=folder,
        learning_rate=shared["learning_rate"],
        batch_size=shared["batch_size"],
        weight_decay=0.0,
        **groups,
    )


def _annealed_in_time(one: config.RunConfig) -> config.RunConfig:
    """The run with a penalty that sets in before its end. A trial may draw one that never does, as in DomainBed."""
    name = one.methods.objective
    if name not in strategies.ANNEALED:
        return one
    steps = min(one.method_settings(name)["anneal_steps"], one.optimisation.iterations - 1)
    return config.changed(one, **{name: dataclasses.replace(getattr(one.method, name), anneal_steps=steps)})


def alike(one: config.RunConfig) -> Hashable:
    """Returns what runs of one compiled program have in common: all but seeds, rates and which domains."""
    data = dataclasses.replace(one.data, domains=(), split_seed=None)
    return len(one.sources), dataclasses.replace(
        one, seed=0, target="", rates=config.Rates(), data=data, output=config.Output()
    )


def load(one: config.RunConfig, left_out: str | None) -> dataset.MultiDomainDataset:
    """Opens a run's dataset, with its target and the domain left out beside it, if there is one, to be watched.

    All parts are cut to the length of the shortest, by one picture at most, so that runs fit into one program.

    Returns:
        The dataset. It watches ``"target"``, the 80% of the target that DomainBed tests on; ``"target_out"``, the
        other 20%; and with a second domain held out ``"left_out"``, 80% of that.
    """
    every = _all_parts(one.data.dataset, one.data.of_seed(one.seed).split_seed, one.data.data_dir)
    target = every.domains[one.target]
    watched = {"target": target["test"], "target_out": target["validation"]}
    if left_out:
        watched["left_out"] = every.domains[left_out]["test"]
    domains = {
        domain: {name: every.domains[domain][name] for name in (("test",) if domain == one.target else _OF_SOURCES)}
        for domain in one.data.domains
    }
    return dataclasses.replace(every, domains=domains, watched=watched)


_OF_SOURCES = ("train", "validation")


@functools.lru_cache(maxsize=1)
def _all_parts(name: str, split_seed: int, data_dir: pathlib.Path) -> dataset.MultiDomainDataset:
    """All parts of all domains, equally long."""
    names = dict.fromkeys(registry.get(name).domains, (*_OF_SOURCES, "test"))
    every = registry.builder_of(name)(names, split_seed, data_dir=data_dir)
    lengths = {
        part: min(len(parts[part].label) for parts in every.domains.values()) for part in names[next(iter(names))]
    }
    domains = {
        domain: {part: dataset.Part(*(leaf[: lengths[part]] for leaf in whole)) for part, whole in parts.items()}
        for domain, parts in every.domains.items()
    }
    return dataclasses.replace(every, domains=domains)


def loader(planned: Sequence[Planned]) -> "functools.partial[dataset.MultiDomainDataset]":
    """Returns ``load(run)`` for the runs of a plan."""
    return functools.partial(_load_planned, {one.run.pictures: one.left_out for one in planned})


def _load_planned(left_out: dict[Hashable, str | None], one: config.RunConfig) -> dataset.MultiDomainDataset:
    return load(one, left_out[one.pictures])
