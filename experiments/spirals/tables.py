"""The tables of the spirals."""

import csv
import io
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dg_jax.analysis import markdown

SUCCESS = 0.95


class Measured(NamedTuple):
    """The results of one run; accuracies are fractions.

    Attributes:
        value: value of the scanned setting; 0 without a scan.
        method: its strategy.
        seed: its seed.
        validation: accuracy on new points of the environments, of the selected parameters.
        test: accuracy where the shortcuts say nothing, of the selected parameters.
        test_last: the same, of the last parameters.
        agreement: steps, and the share of components that agree there, if the combiner logs it.
    """

    value: float
    method: str
    seed: int
    validation: float
    test: float
    test_last: float
    agreement: tuple[tuple[int, float], ...]


def cells(found: Sequence[Measured]) -> Iterator[tuple[float, str, list[Measured]]]:
    """Yields value, method and runs of each cell, in the order in which they come."""
    for value, method in dict.fromkeys((one.value, one.method) for one in found):
        yield value, method, [one for one in found if (one.value, one.method) == (value, method)]


def to_markdown(found: Sequence[Measured], scan: str) -> str:
    """Returns a row for each cell: mean and in brackets the standard deviation over seeds, in percent."""

    def percent(values: list[float]) -> str:
        deviation = f" ({100 * statistics.stdev(values):.2f})" if len(values) > 1 else ""
        return f"{100 * statistics.fmean(values):.2f}{deviation}"

    rows = [
        [
            *([] if scan == "none" else [f"{value:g}"]),
            markdown.escape(method),
            percent([run.validation for run in runs]),
            percent([run.test for run in runs]),
            percent([run.test_last for run in runs]),
            f"{sum(run.test_last >= SUCCESS for run in runs)} of {len(runs)}",
        ]
        for value, method, runs in cells(found)
    ]
    header = ["method", "environments", "test", "test, last parameters", f"seeds with {SUCCESS:.0%} or more"]
    header = header if scan == "none" else [scan.replace("_", " "), *header]
    note = (
        "Percent, mean (standard deviation) over seeds. Environments: new points with the shortcut, selected "
        "parameters. Test: points on which it says nothing; seeds are counted by the last parameters.\n"
    )
    return f"{markdown.table(header, rows, num_names=1 if scan == 'none' else 2)}\n\n{note}"


def to_csv(found: Sequence[Measured], scan: str) -> str:
    """Returns one line for each run; fractions, to all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([scan, "method", "seed", "validation", "test", "test_last"])
    writer.writerows([run.value, run.method, run.seed, run.validation, run.test, run.test_last] for run in found)
    return text.getvalue()
