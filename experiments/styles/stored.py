"""The accuracies of the studies at each validation, in one small CSV file for tables and figures."""

import csv
import io
import pathlib
from collections.abc import Mapping

from dg_jax import errors
from experiments.finetune import validations
from experiments.styles import studies

Found = dict[str, dict[str, dict[str, dict[int, validations.History]]]]  # study -> target -> method -> seed
COLUMNS = ("study", "target", "method", "seed", "step", "validation", "target_accuracy")


def to_csv(found: Mapping[str, validations.Histories]) -> str:
    """Returns a header, and a line for each validation of each run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for study, targets in found.items():
        for target, methods in targets.items():
            for method, seeds in methods.items():
                for seed, history in seeds.items():
                    for step, own, other in zip(*history, strict=True):
                        writer.writerow([study, target, method, seed, step, round(own, 6), round(other, 6)])
    return text.getvalue()


def read(path: pathlib.Path) -> Found:
    """Reads what :func:`to_csv` has written.

    Raises:
        UserError: the file cannot be read, or is not such a file, or lacks a part of a study.
    """
    found: Found = {}
    try:
        with path.open(newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != COLUMNS:
                raise ValueError(f"its first line is not {','.join(COLUMNS)}")
            for line in reader:
                try:
                    _add(found, *line)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"line {reader.line_num} is {','.join(line)!r:.80}") from error
        return _in_order(found)
    except (OSError, ValueError, csv.Error) as error:
        raise errors.UserError(
            f"{path} cannot be read: {error}; leave --recompute out to make it from the runs"
        ) from error


def _add(found: Found, study: str, target: str, method: str, seed: str, step: str, own: str, other: str) -> None:
    """Adds a line of the file; raises a ``ValueError`` if it cannot be one."""
    if study not in studies.STUDIES or target not in studies.STUDIES[study].targets or not 0 <= int(seed) < 1000:
        raise ValueError
    seeds = found.setdefault(study, {}).setdefault(target, {}).setdefault(method, {})
    history = seeds.setdefault(int(seed), validations.History([], [], []))
    accuracies = float(own), float(other)
    is_next = int(step) > max(history.steps, default=0)
    if method not in studies.methods(study) or not is_next or not all(0 <= one <= 1 for one in accuracies):
        raise ValueError
    for column, value in zip(history, (int(step), *accuracies), strict=True):
        column.append(value)  # type: ignore[attr-defined]


def _in_order(found: Found) -> Found:
    """Returns the studies with their methods in order; raises a ``ValueError`` if no seed is there of all of them."""
    if not found:
        raise ValueError("it has no results")
    ordered: Found = {}
    for study, targets in found.items():
        for target in studies.STUDIES[study].targets:
            of_target = {method: targets.get(target, {}).get(method, {}) for method in studies.methods(study)}
            if not set.intersection(*map(set, of_target.values())):
                raise ValueError(f"study {study} has no seed of target {target} that all its methods have")
            ordered.setdefault(study, {})[target] = of_target
    return ordered
