"""Tables of a search: a rule each, what the rule changes, and beside DomainBed's own."""

import collections
import csv
import io
import json
import math
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dg_jax.analysis import markdown, render, significance
from experiments.domainbed import selection
from experiments.domainbed.records import Record

TITLES = {
    "training_domain": "Selected by the validation parts of the sources",
    "leave_one_out": "Selected by leaving out one more domain",
    "oracle": "Selected by the target itself (oracle)",
}
AVERAGE = "average"
# DomainBed/domainbed/results/2020_10_06_7df6f06/results.tex, the tables of the paper's appendix: mean ± standard error.
PUBLISHED = pathlib.Path(__file__).with_name("published.csv")


class Cell(NamedTuple):
    """Mean accuracy, as a fraction, and its standard error over the splits; ``None`` of one split."""

    mean: float
    error: float | None


Table = dict[str, dict[str, Cell]]  # method -> target, and AVERAGE


def summarize(choices: selection.Choices, domains: Sequence[str]) -> Table:
    """Returns mean and standard error over the splits; the average is over splits where every domain was the target.

    The standard error is the standard deviation of the population divided by the root of the number, as DomainBed's.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for (method, target, split), choice in choices.items():
        found.setdefault(method, {}).setdefault(target, {})[split] = choice.accuracy
    table: Table = {}
    for method, by_target in found.items():
        columns = {target: by_target[target] for target in domains if target in by_target}
        if len(columns) == len(domains):
            shared = set.intersection(*(set(of_target) for of_target in columns.values()))
            mean = {split: statistics.fmean(of_target[split] for of_target in columns.values()) for split in shared}
            columns |= {AVERAGE: mean} if mean else {}
        table[method] = {target: _cell([*values.values()]) for target, values in columns.items()}
    return table


def _cell(values: Sequence[float]) -> Cell:
    error = statistics.pstdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Cell(statistics.fmean(values), error)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return markdown.MISSING
    return f"{100 * cell.mean:.1f}" + ("" if cell.error is None else f" ± {100 * cell.error:.1f}")


def of_rules(records: Sequence[Record], rules: Iterable[str]) -> dict[str, Table]:
    """Returns the table of each rule that could select anything."""
    found = {rule: summarize(selection.choices(rule, records), records[0].domains) for rule in rules}
    return {rule: table for rule, table in found.items() if table}


def to_markdown(records: Sequence[Record], rules: Sequence[str], *, beside_published: bool) -> str:
    """Returns all tables of the records of one dataset."""
    targets = list(dict.fromkeys(one.held_out[0] for one in records if len(one.held_out) == 1))
    tables = of_rules(records, rules)
    splits, tried = (len({getattr(one, name) for one in records}) for name in ("data_seed", "trial"))
    steps = sorted({one.steps[-1] for one in records})
    name = records[0].dataset
    blocks = [
        f"## {name}\n\nAccuracy in percent on 80% of the target, ± standard error over the splits. Splits: {splits}; "
        f"trials of each strategy: {tried}; steps: {', '.join(map(str, steps))}."
    ]
    counts = collections.Counter(one.method for one in records)
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{markdown.escape(method)} {count}" for method, count in counts.items())
        blocks.append(f"Not every method has all runs: {listed}.")
    for rule, table in tables.items():
        rows = (
            [markdown.escape(method), *(_shown(cells.get(target)) for target in (*targets, AVERAGE))]
            for method, cells in table.items()
        )
        blocks += [f"### {TITLES[rule]}", markdown.table(["", *map(markdown.escape, targets), AVERAGE], rows)]
        if beside_published and (compared := _beside(table, published(name, rule))):
            blocks += ["Beside DomainBed's table (October 2020):", compared]
    if len(tables) > 1:
        blocks += ["### How far the rule moves each method", _moved(records, list(tables))]
    return "\n\n".join(blocks) + "\n"


def _moved(records: Sequence[Record], rules: Sequence[str]) -> str:
    """A row for each method and rule after the first: its accuracy less that of the first, in pairs."""
    first, *others = rules
    chosen = {rule: selection.choices(rule, records) for rule in rules}
    named, compared = [], []
    for method in dict.fromkeys(method for method, _, _ in chosen[first]):
        for rule in others:
            keys = [key for key in chosen[first] if key[0] == method and key in chosen[rule]]
            if keys:
                ours, baseline = (
                    dict(enumerate(chosen[which][key].accuracy for key in keys)) for which in (rule, first)
                )
                named.append((method, rule))
                compared.append(significance.compare(ours, baseline))
    corrected = significance.holm([one.p for one in compared])
    rows = (
        [
            markdown.escape(method),
            f"{rule} - {first}".replace("_", " "),
            render.points(one.mean_difference),
            str(len(one.seeds)),
            f"{one.p:.3f}",
            f"{p:.3f}",
        ]
        for (method, rule), one, p in zip(named, compared, corrected, strict=True)
    )
    return markdown.table(["", "rules", "difference in points", "pairs", "p", "p, Holm"], rows, num_names=2)


class Published(NamedTuple):
    """What DomainBed printed in a cell, and what it calls the method."""

    algorithm: str
    cell: Cell


def published(dataset: str, rule: str) -> dict[tuple[str, str], Published]:
    """Returns DomainBed's own table of a dataset and a rule: (strategy, target) -> cell."""
    with PUBLISHED.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["rule"]) == (dataset, rule)]
    return {
        (row["strategy"], row["target"]): Published(
            row["algorithm"], Cell(float(row["mean"]) / 100, float(row["standard_error"]) / 100)
        )
        for row in rows
    }


def _beside(table: Mapping[str, Mapping[str, Cell]], theirs: Mapping[tuple[str, str], Published]) -> str:
    """A row for each cell that both have; empty if none is."""
    rows = []
    for method, cells in table.items():
        for target, ours in cells.items():
            if (method, target) in theirs:
                algorithm, cell = theirs[method, target]
                difference = ours.mean - cell.mean
                in_errors = markdown.MISSING  # of one split there is no error
                if ours.error is not None and cell.error is not None:
                    error = max(math.hypot(ours.error, cell.error), 0.0005)  # they print one decimal
                    in_errors = f"{difference / error:+.1f}"
                names = [markdown.escape(method), algorithm, markdown.escape(target)]
                rows.append([*names, _shown(ours), _shown(cell), render.points(difference), in_errors])
    head = ["", "DomainBed's", "target", "ours", "published", "difference in points", "in standard errors"]
    return markdown.table(head, rows, num_names=3) if rows else ""


COLUMNS = ("dataset", "rule", "method", "target", "split", "accuracy", "selected_by", "trial", "step", "settings")


def to_csv(records: Sequence[Record], rules: Iterable[str]) -> str:
    """Returns a header and a line for each cell of each split: what was selected, with its settings."""
    settings = {(one.method, one.data_seed, one.trial): one.settings for one in records}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rule in rules:
        for (method, target, split), choice in selection.choices(rule, records).items():
            used = json.dumps(settings[method, split, choice.trial])
            writer.writerow([records[0].dataset, rule, method, target, split, *choice, used])
    return text.getvalue()
