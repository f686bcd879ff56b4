"""All that is measured on a GPU, in one command and a few minutes.

    python -m experiments.benchmark gpu

It needs no internet and no dataset. Each part is a benchmark in its own process. All parts write their tables to one
folder as JSON and Markdown. There, index.md says which parts were done and which did not fit into the time.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import tyro

from dg_jax import errors
from experiments.benchmark import measure

# Name -> command, the most important first. The part "run" also gets the folder of made-up pictures.
PARTS: dict[str, tuple[str, ...]] = {
    "step-alexnet": (
        "step",
        "--model=alexnet",
        "--strategies",
        "deep_all",
        "agr_sum",
        "--repetitions=3",
        "--no-memory",
    ),
    "combiners": ("combiners", "--repetitions=3"),
    "two-pass": ("forms", "--networks", "alexnet", "--rows", "3", "--combiners", "deep_all", "agr_sum", "pcgrad"),
    "step-small": ("step", "--repetitions=3"),
    "limit": ("limit", "--repetitions=3"),
    "run": ("run", "--preset=paper", "--dataset=pacs", "--repetitions=1"),
    "step-alexnet-all": ("step", "--model=alexnet", "--repetitions=3", "--no-memory"),
    "devices": ("devices", "--model=alexnet", "--counts", "1", "--repetitions=3"),
}
_PICTURES = "run"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures everything on a GPU, as far as time allows."""

    minutes: float = 9.0
    """Stop after so many minutes."""
    parts: tuple[str, ...] = tuple(PARTS)
    """Which parts, in this order."""
    output: pathlib.Path = pathlib.Path(__file__).parent / "results" / "gpu"
    """The folder of JSON and Markdown files."""


def run_part(name: str, output: pathlib.Path, seconds: float) -> str:
    """Does one part in its own process and returns its outcome: a few words, or the last line of its error."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        pictures = f"{scratch}/pictures"
        commands = [["-m", "experiments.benchmark", *PARTS[name], f"--output={output / name}.json"]]
        if name == _PICTURES:
            commands[0] += [f"--data-dir={pictures}", f"--prepared-dir={scratch}/prepared"]
            commands.insert(0, ["-m", "experiments.benchmark.generated_tree", pictures])
        for command in commands:
            try:
                done = subprocess.run(
                    [sys.executable, *command], capture_output=True, text=True, timeout=max(end - time.monotonic(), 1)
                )
            except subprocess.TimeoutExpired:
                return "not finished in time"
            if done.returncode:
                return (done.stderr.strip() or "no message").splitlines()[-1]
    return "done"


def main(flags: Sequence[str]) -> None:
    """Measures and writes the folder.

    Raises:
        UserError: a flag is wrong, or the folder cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark gpu")
    measure.known_names("--parts", arguments.parts, list(PARTS))
    start, lines = time.monotonic(), ["| part | command | outcome | seconds |", "|---|---|---|---|"]
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        for name in arguments.parts:
            began = time.monotonic()
            left = 60 * arguments.minutes - (began - start)
            outcome = run_part(name, arguments.output, left) if left > 0 else "no time was left"
            command = f"`python -m experiments.benchmark {' '.join(PARTS[name])}`"
            lines.append(f"| {name} | {command} | {outcome} | {time.monotonic() - began:.0f} |")
            print(f"{name}: {outcome}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            (arguments.output / "index.md").write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise errors.UserError(f"--output={arguments.output}: cannot be written: {error.strerror}") from error
    print(f"written to {arguments.output}")
