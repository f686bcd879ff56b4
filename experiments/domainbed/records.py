"""What each run of a search noted, in one small file that all tables are made of: a JSON object a line."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dg_jax import errors
from dg_jax.data import registry
from dg_jax.reading import foreign
from dg_jax.training import files
from experiments.domainbed import runs

_MOST_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        dataset: its name.
        domains: all domains of the search, the held-out ones among them.
        method: strategy and combiner, as its folder is named.
        held_out: its target, and the domain left out beside it if there is one.
        trial: number of the trial.
        data_seed: number of the split.
        settings: what the trial drew, by the names of the flags.
        steps: after how many steps it was validated, ``[T]``.
        validation: accuracy on the validation parts of its sources, ``[T]``.
        held_out_accuracy: for each held-out domain the accuracy on the 80% that are tested, ``[T]``.
        target_validation: accuracy on the other 20% of the target, ``[T]``.
        device: what it ran on.
        versions: of the packages.
    """

    dataset: str
    domains: tuple[str, ...]
    method: str
    held_out: tuple[str, ...]
    trial: int
    data_seed: int
    settings: Mapping[str, Any]
    steps: Sequence[int]
    validation: Sequence[float]
    held_out_accuracy: Mapping[str, Sequence[float]]
    target_validation: Sequence[float]
    device: str
    versions: Mapping[str, str]


def of_run(planned: runs.Planned, method: str, result: Mapping[str, Any], noted: Sequence[Mapping[str, Any]]) -> Record:
    """Makes the record of a run of its result and what it noted at each validation."""
    one = planned.run
    settings: dict[str, Any] = {
        "learning_rate": one.rates.learning_rate,
        "batch_size": one.optimisation.batch_size,
    }
    for name in dict.fromkeys((one.methods.objective, one.methods.combiner)):
        settings |= {f"{name}.{key}": value for key, value in one.method_settings(name).items()}
    watched = [line["watched"] for line in noted]
    parts = dict(zip(planned.held_out, ("target", "left_out"), strict=False))
    return Record(
        dataset=one.data.dataset,
        domains=planned.domains,
        method=method,
        held_out=planned.held_out,
        trial=planned.trial,
        data_seed=planned.data_seed,
        settings=settings,
        steps=[line["step"] for line in noted],
        validation=_rounded(line["val_accuracy"] for line in noted),
        held_out_accuracy={domain: _rounded(line[part] for line in watched) for domain, part in parts.items()},
        target_validation=_rounded(line["target_out"] for line in watched),
        device=result["device"],
        versions=result["versions"],
    )


def _rounded(accuracies: Iterable[float]) -> list[float]:
    """To 5 digits: a picture of 18,668 is 0.00005."""
    return [round(accuracy, 5) for accuracy in accuracies]


def to_lines(records: Iterable[Record]) -> str:
    """Returns the file's text."""
    return "".join(json.dumps(dataclasses.asdict(record), ensure_ascii=False) + "\n" for record in records)


def read(path: pathlib.Path) -> list[Record]:
    """Reads what :func:`to_lines` wrote.

    Raises:
        UserError: the file cannot be read, or is another.
    """
    found: dict[tuple, Record] = {}
    try:
        lines = foreign.content(path, _MOST_BYTES).decode().splitlines()
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--recompute={path} cannot be read: {error}; give another file") from error
    for number, line in enumerate(lines, 1):
        try:
            record = _checked(foreign.parse_json(line))
            first = next(iter(found.values()), record)
            if (record.dataset, record.domains) != (first.dataset, first.domains):
                raise ValueError("another dataset or other domains than in line 1")
            key = (record.method, record.data_seed, record.trial, frozenset(record.held_out))
            if key in found:
                raise ValueError("a run that is there already")
        except ValueError as error:
            raise errors.UserError(
                f"--recompute={path}, line {number}: {error}; give a file that this experiment wrote"
            ) from error
        found[key] = record
    if not found:
        raise errors.UserError(f"--recompute={path} is empty; give a file that this experiment wrote")
    return list(found.values())


def _checked(values: Any) -> Record:
    """Makes a record of what a line holds; raises a ``ValueError`` if it is not one."""
    names = [field.name for field in dataclasses.fields(Record)]
    if not isinstance(values, dict) or set(values) != set(names):
        raise ValueError(f"no object with {', '.join(names)}")
    is_record = {
        "dataset": lambda value: value in runs.DATASETS,
        "domains": lambda value: _is_list(value, lambda one: one in registry.get(values["dataset"]).domains),
        "method": lambda value: isinstance(value, str),
        "held_out": lambda value: (
            _is_list(value, lambda one: one in values["domains"])
            and len(value) in (1, 2)
            and len(set(value)) == len(value)
        ),
        "trial": files.is_count,
        "data_seed": files.is_count,
        "settings": lambda value: isinstance(value, dict),
        "steps": lambda value: _is_list(value, files.is_count) and len(value) > 0,
        "validation": lambda value: _is_list(value, files.is_fraction, len(values["steps"])),
        "held_out_accuracy": lambda value: (
            isinstance(value, dict)
            and set(value) == set(values["held_out"])
            and all(_is_list(one, files.is_fraction, len(values["steps"])) for one in value.values())
        ),
        "target_validation": lambda value: _is_list(value, files.is_fraction, len(values["steps"])),
        "device": lambda value: isinstance(value, str),
        "versions": lambda value: isinstance(value, dict),
    }
    for name, is_right in is_record.items():
        if not is_right(values[name]):
            raise ValueError(f"{name} is not what it should be")
    return Record(**{**values, "held_out": tuple(values["held_out"]), "domains": tuple(values["domains"])})


def _is_list(value: Any, of: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and all(map(of, value)) and length in (None, len(value))
