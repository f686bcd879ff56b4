"""Settings, versions and machines of runs, and where runs differ in them."""

import json
from collections.abc import Callable, Sequence

from dg_jax.analysis import notes
from dg_jax.config import ranges
from experiments.report import parts
from experiments.report.stored import Run

# Not settings of a result, but the axes of its tables, or how and where it was made.
_NOT_SHOWN = (
    *("dataset", "strategy", "combiner", "target", "seed", "batches"),
    *("prepared_dir", "results_dir", "resume", "overwrite", "log", "classes", "inputs", "example"),
)
_NOT_RECORDED = "not recorded"
_MOST_VALUES = 10


def settings_of(run: Run) -> dict[str, object]:
    """Returns the settings of a run, those of a method as ``METHOD.SETTING`` and only if it is in use."""
    shown: dict[str, object] = {}
    for name, value in run.config.items():
        if name in ranges.OF_METHODS and isinstance(value, dict):
            if name in (run.config["strategy"], run.result["combiner"]):
                shown |= {f"{name}.{setting}": of_setting for setting, of_setting in value.items()}
        elif name not in _NOT_SHOWN:
            shown[name] = value
    return shown


def versions_of(run: Run) -> dict[str, object]:
    """Returns what a run was made with: versions, device, weights."""
    versions = run.result.get("versions")
    return {
        **(versions if isinstance(versions, dict) else {}),
        "device": run.result.get("device", _NOT_RECORDED),
        "seeds side by side": run.result.get("seeds_side_by_side", 1),
        "SHA-256 of the weights": run.result.get("weights_sha256", _NOT_RECORDED),
        "damaged pictures left out": run.result.get("left_out", _NOT_RECORDED),
    }


def table(caption: str, runs: Sequence[Run], values_of: Callable[[Run], dict[str, object]]) -> parts.Grid:
    """Makes a table with a row for each value of each setting. If there are several, it says which runs have each."""
    rows = []
    for name, by_value in _by_value(runs, values_of).items():
        most_frequent = sorted(by_value.items(), key=lambda item: -len(item[1]))
        for value, having in most_frequent[:_MOST_VALUES]:
            rows.append([name, value, "" if len(by_value) == 1 else _which(having, runs)])
        if len(by_value) > _MOST_VALUES:
            rows.append([name, f"{len(by_value) - _MOST_VALUES} more values", "the others"])
    num_columns = 3 if any(which for _, _, which in rows) else 2
    return parts.Grid(
        caption, ["name", "value", "runs"][:num_columns], [row[:num_columns] for row in rows], num_columns
    )


def differing(runs: Sequence[Run], values_of: Callable[[Run], dict[str, object]]) -> list[str]:
    """Returns the names of the values in which runs differ."""
    return [name for name, by_value in _by_value(runs, values_of).items() if len(by_value) > 1]


def text(value: object) -> str:
    """Returns a value of a JSON file as readable text."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _by_value(runs: Sequence[Run], values_of: Callable[[Run], dict[str, object]]) -> dict[str, dict[str, list[Run]]]:
    """Returns setting -> value -> runs that have it. A method's own setting counts for the runs of that method."""
    values = [values_of(run) for run in runs]
    found: dict[str, dict[str, list[Run]]] = {name: {} for of_run in values for name in of_run}
    for run, of_run in zip(runs, values, strict=True):
        for name, by_value in found.items():
            if name in of_run or "." not in name:
                by_value.setdefault(text(of_run.get(name, _NOT_RECORDED)), []).append(run)
    return found


def _which(having: Sequence[Run], runs: Sequence[Run]) -> str:
    """Returns how many runs these are, and their targets, methods and seeds if these are not all."""
    described = []
    for axis in ("target", "folder_name"):
        names = dict.fromkeys(getattr(run, axis) for run in having)
        if len(names) < len({getattr(run, axis) for run in runs}):
            described.append(", ".join(names))
    seeds = {run.seed for run in having}
    if seeds != {run.seed for run in runs}:
        described.append(f"{'seed' if len(seeds) == 1 else 'seeds'} {notes.ranges(sorted(seeds))}")
    return f"{len(having)} of {len(runs)}" + (f": {'; '.join(described)}" if described else "")
