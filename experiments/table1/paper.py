"""The numbers of the paper's Table 1, and ours beside them.

They are as printed, even if they contradict each other: Agr-Sum's average on Office-Home is printed
as 46.09, but the mean of its four targets is 45.99.
"""

import csv
import dataclasses
import pathlib

from dg_jax import errors
from dg_jax.analysis import markdown, render
from dg_jax.analysis import table as tables

FILE = pathlib.Path(__file__).parent / "paper.csv"
AVERAGE = "average"  # stands for the target in the file


@dataclasses.dataclass(frozen=True)
class Published:
    """What the paper says of one method on one target.

    Attributes:
        mean: accuracy in percent, as printed.
        deviation: standard deviation over 20 runs in percent; averages over targets have none.
        best: whether it is in bold.
        significant: whether it has a star.
    """

    mean: float
    deviation: float | None
    best: bool
    significant: bool


def read(path: pathlib.Path) -> dict[str, dict[str, dict[str, Published]]]:
    """Reads the paper's numbers: dataset -> target or ``average`` -> method -> published.

    Raises:
        UserError: the file is missing or is no such table.
    """
    published: dict[str, dict[str, dict[str, Published]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                method_of = published.setdefault(row["dataset"], {}).setdefault(row["target"], {})
                method_of[row["method"]] = Published(
                    mean=float(row["mean"]),
                    deviation=float(row["standard_deviation"]) if row["standard_deviation"] else None,
                    best=row["best"] == "yes",
                    significant=row["significant"] == "yes",
                )
    except OSError as error:
        raise errors.UserError(f"cannot read {path}: {error.strerror}; restore it") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise errors.UserError(f"{path}, line {reader.line_num}: not the paper's table; restore it") from error
    if not published:
        raise errors.UserError(f"{path} is empty; restore it")
    return published


def beside_paper(table: tables.Table, dataset: str, path: pathlib.Path) -> str:
    """Returns a Markdown table with the paper's number and ours for each target and method, in percent.

    It has the averages if ours are over the same targets as the paper's.

    Args:
        table: ours.
        dataset: its name; its targets and methods have the same names in the file.
        path: the file with the paper's numbers.

    Raises:
        UserError: the file is missing or is no such table, or the paper has no such dataset.
    """
    datasets = read(path)
    if dataset not in datasets:
        raise errors.UserError(f"the paper has no figures for {dataset}, only for {', '.join(datasets)}")
    published = datasets[dataset]
    rows = []
    for target in table.targets:
        for method in table.methods:
            theirs, ours = published.get(target, {}).get(method), table.cells[target].get(method)
            difference = render.points(ours.mean - theirs.mean / 100) if ours and theirs else markdown.MISSING
            rows.append([target, method, _cell(theirs), render.markdown_cell(ours), difference])
    if {*table.averaged, AVERAGE} == published.keys():
        for method, average in table.averages.items():
            theirs = published[AVERAGE].get(method)
            difference = render.points(average - theirs.mean / 100) if theirs else markdown.MISSING
            rows.append([AVERAGE, method, _cell(theirs), render.percent(average), difference])
    names = [[*map(markdown.escape, row[:2]), *row[2:]] for row in rows]
    return markdown.table(["target", "method", "paper", "ours", "ours - paper"], names, num_names=2) + "\n"


def _cell(published: Published | None) -> str:
    if published is None:
        return markdown.MISSING
    text = f"{published.mean:.2f}" + (f" ({published.deviation:.2f})" if published.deviation is not None else "")
    return (f"**{text}**" if published.best else text) + r"\*" * published.significant
