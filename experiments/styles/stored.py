"""The accuracies of the studies at each validation, in one small CSV file for tables and figures."""

import csv
import io
import pathlib
from collections.abc import Mapping

from dg_jax import errors
from experiments.finetune import validations

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
        UserError: the file cannot be read, or is not such a file.
    """
    found: Found = {}
    try:
        with path.open(newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != COLUMNS:
                raise ValueError(f"its first line is not {','.join(COLUMNS)}")
            for study, target, method, seed, *values in reader:
                step, own, other = values
                seeds = found.setdefault(study, {}).setdefault(target, {}).setdefault(method, {})
                history = seeds.setdefault(int(seed), validations.History([], [], []))
                for column, value in zip(history, (int(step), float(own), float(other)), strict=True):
                    column.append(value)  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        raise errors.UserError(
            f"{path} cannot be read: {error}; leave --recompute out to make it from the runs"
        ) from error
    return found
