"""Time of a whole run, from the command to its result, and of the parts of its start.

    python -m experiments.benchmark run
    python -m experiments.benchmark run --preset=paper --dataset=pacs --data-dir=DIR

Flags that the benchmark does not know go to the run.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import tyro

from dg_jax import errors
from experiments.benchmark import measure, report

_IMPORTS = """
import gc
import time
start = time.perf_counter()
import jax, optax
between = time.perf_counter()
import dg_jax.surgery
print(between - start, time.perf_counter() - between)
"""
# JAX leaves so many objects that a pass of the garbage collector takes longer than our import. Whether a pass falls
# into our import is chance.
IMPORTS_UNCOLLECTED = _IMPORTS.replace("between =", "gc.disable()\nbetween =")

_FIRST_STEP = """
import os
import sys
import time
from dg_jax import run
from dg_jax.training import drive

class First(drive.Hook):
    def on_step(self, number, metrics):
        print(time.time() - float(os.environ["STARTED"]))

run.run(run.parse(sys.argv[1:]), hooks=[First()], quiet=True)
"""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures whole runs in child processes. All other flags go to dg_jax.run."""

    repetitions: int = 7
    """How many times imports and --help are measured."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def child(arguments: Sequence[str], **environment: str) -> tuple[float, str]:
    """Runs Python and returns the seconds that it took and what it printed.

    Raises:
        UserError: it failed; the error is the last line that it wrote.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | environment, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise errors.UserError(f"python {' '.join(arguments[:2])}: {last.removeprefix('error: ')}")
    return seconds, done.stdout


def start_up(repetitions: int) -> report.Table:
    """Measures imports and ``--help``, a process for each measurement, in turns."""
    rounds = []
    for _ in range(repetitions + 1):
        theirs, ours = child(["-c", _IMPORTS])[1].split()
        _, ours_uncollected = child(["-c", IMPORTS_UNCOLLECTED])[1].split()
        whole, _ = child(["-m", "dg_jax.run", "--help"])
        rounds.append((float(theirs), float(ours), float(ours_uncollected), whole))
    names = (
        "`import jax, optax`",
        "`import dg_jax.surgery` after these",
        "the same, garbage collector off",
        "`python -m dg_jax.run --help`, the whole process",
    )
    columns = zip(*rounds[1:], strict=True)  # the first round brings the files into memory
    return report.Table(
        "start-up",
        "Start-up, a new process for each measurement. Median (fastest to slowest).",
        [report.Column("what", "what"), report.Column("seconds", "ms", 1e3)],
        [{"what": name, "seconds": measure.Spread(values)} for name, values in zip(names, columns, strict=True)],
    )


def to_first_step(flags: Sequence[str]) -> report.Table:
    """Measures from the start of a process to the end of its first step."""
    table = report.Table(
        "first step",
        "From the command to the end of the first step, each a process of its own.",
        [report.Column("start", "start"), report.Column("seconds", "s")],
    )
    with tempfile.TemporaryDirectory() as folder:
        for what in ("first, empty compilation cache", "second", "third"):
            with tempfile.TemporaryDirectory() as results:
                given = (*flags, "--iterations=1", f"--results-dir={results}")
                started = {"STARTED": str(time.time()), "JAX_COMPILATION_CACHE_DIR": folder}
                _, printed = child(["-c", _FIRST_STEP, *given], **started)
            table.rows.append({"start": what, "seconds": float(printed.split()[-1])})
    return table


def whole_runs(flags: Sequence[str]) -> report.Table:
    """Measures runs of one step and whole ones, each kind with a compilation cache that is empty at first."""
    table = report.Table(
        "runs",
        f"`python -m dg_jax.run{''.join(f' {flag}' for flag in flags)}`, each a process of its own. Training is the "
        "loop with its compilation, validations and checkpoints; the rest of the process is imports, opening the "
        "dataset, the first weights, and the test.",
        [
            report.Column("run", "run"),
            report.Column("seconds", "whole process, s"),
            report.Column("wall_seconds", "training, s"),
            report.Column("images_per_second", "images/s in steps"),
            report.Column("step_seconds", "ms per step", 1e3),
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        caches = [pathlib.Path(folder, name) for name in ("thrown away", "one step", "whole")]
        one_step = (*flags, "--iterations=1")
        _run(one_step, caches[0])  # prepares the dataset if needed
        for what, given, cache in (
            ("one step, empty compilation cache", one_step, caches[1]),
            ("one step, again", one_step, caches[1]),
            ("whole, first start, empty compilation cache", flags, caches[2]),
            ("whole, second start", flags, caches[2]),
            ("whole, third start", flags, caches[2]),
        ):
            table.rows.append({"run": what} | _run(given, cache))
    return table


def _run(flags: Sequence[str], cache: pathlib.Path) -> dict:
    """Does one run in a child process and returns its times."""
    with tempfile.TemporaryDirectory() as results:
        seconds, _ = child(
            ["-m", "dg_jax.run", *flags, f"--results-dir={results}"], JAX_COMPILATION_CACHE_DIR=str(cache)
        )
        [path] = pathlib.Path(results).rglob("result.json")
        result = json.loads(path.read_text())
        batch_size = json.loads(path.with_name("config.json").read_text())["batch_size"]
    images_per_step = batch_size * len(result["sources"])
    rate = result["images_per_second"]
    return {
        "seconds": seconds,
        "wall_seconds": result["wall_seconds"],
        "images_per_second": rate,
        "step_seconds": images_per_step / rate,
        "iterations": result["iterations"],
        "device": result["device"],
    }


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag of the benchmark or of the run is wrong, or a file cannot be written.
    """
    arguments, run_flags = tyro.cli(
        Arguments, args=list(flags), prog="python -m experiments.benchmark run", return_unknown_args=True
    )
    measure.check_repetitions(arguments.repetitions)
    runs = whole_runs(run_flags)
    tables = [runs, to_first_step(run_flags), start_up(arguments.repetitions)]
    report.write("run", ["run", *flags], tables, arguments.output)
