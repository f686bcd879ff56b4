"""The commands that make results again, derived from the settings that are stored with them."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dg_jax import config, strategies
from dg_jax.config import ranges
from dg_jax.data import registry
from dg_jax.training import compared
from experiments import domain_control, sweep
from experiments.gradient_similarity.__main__ import GradientSimilarity
from experiments.report.stored import Run

# What differs within a sweep, and what is no setting of a result.
_AXES = ("strategy", "target", "seed")
_PLACES = ("data_dir", "prepared_dir", "results_dir", "resume", "overwrite", "classes", "inputs", "example", "log")

_KNOWN = {*compared.to_json(config.RunConfig()), *_PLACES}


def of_runs(runs: Sequence[Run]) -> list[str]:
    """Returns commands that do these runs of a dataset, one for all runs that have the same settings."""
    commands = []
    for group in _groups(runs, _AXES):
        if own := sorted(group[0].config.keys() - _KNOWN):
            values = ", ".join(f"{name} {group[0].config[name]}" for name in own)
            commands.append(f"# runs of an experiment with settings of its own: {values}")
            continue
        single = group[0].is_single_domain
        usual = domain_control.DomainControl.strategies if single else sweep.Sweep.strategies
        flags = [*_sweep(group, usual), *_settings(group, {"batches"})]
        commands.append(_command("domain_control" if single else "table1", flags))
    return commands


def of_grid_runs(runs: Sequence[Run]) -> list[str]:
    """Returns commands that do these runs of a dataset's grid searches."""
    tried = ("learning_rate", "weight_decay")
    commands = []
    for group in _groups(runs, (*_AXES, *tried)):
        flags = _sweep(group, sweep.Sweep.strategies)
        for name in tried:
            flags += [f"{config.flag(name)}s", *map(str, sorted({run.config[name] for run in group}))]
        commands.append(_command("grid_search", [*flags, *_settings(group, set(tried))]))
    return commands


def of_similarities(dataset: str, measured: Mapping[str, Mapping[int, dict]], data_dir: str | None) -> list[str]:
    """Returns commands that measure gradient similarity again.

    Args:
        dataset: its name.
        measured: target -> seed -> what was measured.
        data_dir: where its download is; measurements do not store it.
    """
    domains = list(registry.get(dataset).default_domains)
    own = {name: getattr(GradientSimilarity, name) for name in ("every", "per_domain")}
    seeds: dict[str, dict[str, int]] = {}
    for target, of_target in measured.items():
        values = dict(next(iter(of_target.values()))["settings"])
        sources = values.pop("sources")
        is_usual = [domain for domain in domains if domain != target] == sources
        values["domains"] = domains if is_usual else [*sources, target]
        seeds.setdefault(json.dumps(values), {})[target] = max(of_target) + 1
    commands = []
    for text, of_targets in seeds.items():
        values = json.loads(text)
        flags = [
            f"--dataset={dataset}",
            *_targets(of_targets, values["domains"]),
            f"--seeds={max(of_targets.values())}",
        ]
        flags += config.flags_of({**values, "data_dir": data_dir}, _defaults(dataset, values) | own)
        commands.append(_command("gradient_similarity", flags))
    return commands


def _groups(runs: Sequence[Run], axes: Sequence[str]) -> Iterable[list[Run]]:
    """Groups runs that one command can do: all but the axes is the same, and so are each method's own settings."""
    groups: list[tuple[dict, dict, list[Run]]] = []
    for run in sorted(runs, key=lambda run: run.method_place):
        of_methods = _of_methods(run)
        common = {
            name: value for name, value in run.config.items() if name not in (*axes, *_PLACES, *ranges.OF_METHODS)
        }
        for theirs, others, group in groups:
            if theirs == common and all(others.get(name, value) == value for name, value in of_methods.items()):
                others |= of_methods
                group.append(run)
                break
        else:
            groups.append((common, of_methods, [run]))
    return [group for _, _, group in groups]


def _of_methods(run: Run) -> dict[str, object]:
    """Returns a run's settings of its own methods, as ``METHOD.SETTING``."""
    in_use = {run.config["strategy"], run.result["combiner"]} & ranges.OF_METHODS.keys() & run.config.keys()
    return {
        f"{method}.{name}": value
        for method in sorted(in_use)
        if isinstance(run.config[method], dict)
        for name, value in run.config[method].items()
    }


def _sweep(group: Sequence[Run], usual_strategies: Sequence[str]) -> list[str]:
    one = group[0].config
    used = dict.fromkeys(run.config["strategy"] for run in group)
    used_targets = dict.fromkeys(run.target for run in group)
    return [
        f"--dataset={one['dataset']}",
        *_targets(used_targets, one["domains"]),
        *([] if tuple(used) == tuple(usual_strategies) else ["--strategies", *used]),
        f"--seeds={max(run.seed for run in group) + 1}",
        *(["--vectorize-seeds"] if all("seeds_side_by_side" in run.result for run in group) else []),
    ]


def _targets(targets: Iterable[str], domains: Sequence[str]) -> list[str]:
    return [] if set(targets) == set(domains) else ["--targets", *targets]


def _settings(group: Sequence[Run], said: set[str]) -> list[str]:
    """Returns flags for all settings that are neither a sweep's defaults nor in ``said``."""
    one = group[0].config
    usual = _defaults(one["dataset"], one) | {"preset": "dataset"}
    for method in ranges.OF_METHODS:
        usual |= {f"{method}.{name}": value for name, value in usual.pop(method).items()}
    for method in strategies.ANNEALED:
        usual[f"{method}.anneal_steps"] = one["iterations"] // 2  # as sweep.configs sets it
    values = {name: value for name, value in one.items() if name not in {*_AXES, *_PLACES, *said} - {"data_dir"}}
    for run in group:
        values |= _of_methods(run)
    return config.flags_of(values, usual)


def _defaults(dataset: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the flags start from that gave these values, as JSON stores it."""
    from_scratch = values.get("weights", "") is None
    preset, model = values.get("preset", "dataset"), values.get("model", "")
    return compared.to_json(config.defaults(dataset, preset, model, from_scratch=from_scratch))


def _command(experiment: str, flags: Sequence[str]) -> str:
    return shlex.join(["python", "-m", f"experiments.{experiment}", *flags])
