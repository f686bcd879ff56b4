"""The results of a benchmark, as JSON with its conditions and as Markdown to paste."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shlex
from collections.abc import Sequence

import jax

from dg_jax import errors
from experiments.benchmark import measure

_PACKAGES = ("dg_jax", "jax", "jaxlib", "flax", "optax", "numpy", "grain", "pillow", "torch", "torchjd")
_FOLDER = pathlib.Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: which entry of a row.
        heading: with the unit.
        scale: factor from the unit of the entry to that of the heading.
    """

    key: str
    heading: str
    scale: float = 1.0


@dataclasses.dataclass
class Table:
    """Rows of texts, numbers and spreads; ``None`` and missing entries stay empty.

    Attributes:
        name: its key in the JSON file.
        caption: what was measured, in which unit, with which tolerance it was checked.
        columns: the columns that Markdown shows; JSON has all entries of the rows.
        rows: entries by :attr:`Column.key`.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: list[dict] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        lines = [
            "| " + " | ".join(column.heading for column in self.columns) + " |",
            "|" + "---|" * len(self.columns),
        ]
        lines += ["| " + " | ".join(_cell(row.get(c.key), c.scale) for c in self.columns) + " |" for row in self.rows]
        return f"{self.caption}\n\n" + "\n".join(lines) + "\n"


def write(benchmark: str, arguments: Sequence[str], tables: Sequence[Table], output: pathlib.Path | None) -> None:
    """Prints the tables and writes them to a JSON file and to a Markdown file beside it.

    Args:
        benchmark: its name. The default file is called by it and the device.
        arguments: the command line after ``python -m experiments.benchmark``.
        tables: the results.
        output: the JSON file; by default in ``experiments/benchmark/results/``.

    Raises:
        UserError: a file cannot be written.
    """
    conditions = _conditions()
    command = f"python -m experiments.benchmark {shlex.join(arguments)}"
    device = re.sub(r"[^a-z0-9]+", "-", conditions["device"].lower()).strip("-")
    path = output or _FOLDER / f"{benchmark}-{device}.json"
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    intro = (
        f"`{command}`\n\n{conditions['device']}; {conditions['processor']}, {conditions['cores']} cores, "
        f"load {conditions['load']:.1f} at the end; {versions}\n"
    )
    text = "\n".join([intro, *(table.markdown() for table in tables)])
    content = {
        "benchmark": benchmark,
        "command": command,
        "conditions": conditions,
        "tables": {
            table.name: {"caption": table.caption, "rows": [_to_json(row) for row in table.rows]} for table in tables
        },
    }
    print(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, written in ((path, json.dumps(content, indent=1) + "\n"), (path.with_suffix(".md"), text)):
            temporary = file.with_name(file.name + ".tmp")
            temporary.write_text(written, encoding="utf-8")
            temporary.replace(file)
    except OSError as error:
        raise errors.UserError(f"--output={path}: cannot be written: {error.strerror}") from error
    print(f"written to {path} and {path.with_suffix('.md').name}")


def _conditions() -> dict:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],  # of the last minute; if above the number of cores, other programs computed too
        "versions": versions,
    }


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _cell(value, scale: float) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, measure.Spread):
        return f"{_number(value.median * scale)} ({_number(value.lowest * scale)} to {_number(value.highest * scale)})"
    return _number(value * scale)


def _number(value: float) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 100 else f"{value:.3g}"


def _to_json(row: dict) -> dict:
    def plain(value):
        if not isinstance(value, measure.Spread):
            return value
        return {"median": value.median, "lowest": value.lowest, "highest": value.highest, "values": value.values}

    return {key: plain(value) for key, value in row.items()}
