"""The numbers of all validations as CSV."""

import csv
import io
from collections.abc import Iterator

from dg_jax.training import files, metrics_file
from experiments.report.stored import Run, Stored

HEADER = ("dataset", "target", "method", "seed", "step", "name", "value")


def to_csv(found: Stored) -> str:
    """Returns a row for each number of each validation of each run; damaged files are left out and named."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for runs in found.runs.values():
        for run in runs:
            try:
                lines = metrics_file.validations(run.folder.metrics_file)
            except files.DamagedError as error:
                found.leave_out(error)
                continue
            for line in lines:
                for name, value in _figures(run, line):
                    writer.writerow(
                        [run.config["dataset"], run.target, run.folder_name, run.seed, line["step"], name, value]
                    )
    return text.getvalue()


def _figures(run: Run, line: dict) -> Iterator[tuple[str, object]]:
    sources = run.result["sources"]
    for name, value in line.items():
        if name == "losses":
            names = sources if len(value) == len(sources) else range(len(value))
            yield from ((f"loss/{source}", loss) for source, loss in zip(names, value, strict=True))
        elif name == "watched":
            yield from ((f"watched/{part}", accuracy) for part, accuracy in value.items())
        elif name != "step" and value is not None:
            yield name, value
