"""What each run of a search noted, in one small file that all tables are made of: a JSON object a line."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dg_jax import errors
from dg_jax.reading import foreign
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
    found: list[Record] = []
    try:
        for line in foreign.content(path, _MOST_BYTES).decode().splitlines():
            record = Record(**foreign.parse_json(line))
            record = dataclasses.replace(record, held_out=tuple(record.held_out), domains=tuple(record.domains))
            if len({len(record.steps), len(record.validation), *map(len, record.held_out_accuracy.values())}) != 1:
                raise ValueError("its lists are not equally long")
            found.append(record)
        if not found:
            raise ValueError("it is empty")
    except (OSError, ValueError, TypeError) as error:
        raise errors.UserError(
            f"{path} is no file of this experiment: line {len(found) + 1}: {error}; leave --recompute out to make one"
        ) from error
    return found
