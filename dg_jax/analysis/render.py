"""Writes Table 1 as Markdown, LaTeX and CSV."""

import csv
import io

from dg_jax.analysis import markdown, notes
from dg_jax.analysis import table as tables
from dg_jax.analysis.text import printable

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "_&%$#{}"},
    }
)
_COLUMNS = (
    "target",
    "method",
    "seeds",
    "mean",
    "standard_deviation",
    "best",
    "pairs",
    "differing_pairs",
    "mean_difference",
    "rank_biserial",
    "p",
    "significant",
    "can_reach_significance",
)
EFFECTS = ("target", "method", "difference in points", "rank-biserial r", "p", "pairs", "that differ")


def to_markdown(table: tables.Table) -> str:
    """Returns the table in percent, and below it what the tests are based on and the effect sizes.

    A cell is the mean, with the standard deviation in brackets, in bold if best, with a star if it
    differs from the baseline with p < 0.05.
    """
    rows = [
        [markdown.escape(target), *(markdown_cell(table.cells[target].get(method)) for method in table.methods)]
        for target in table.targets
    ]
    if table.averages:
        rows.append(["average", *(percent(table.averages[method]) for method in table.methods)])
    blocks = [
        markdown.table(["target", *map(markdown.escape, table.methods)], rows),
        "\n".join(markdown.escape(line) for line in notes.of(table)),
        _effects(table),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def markdown_cell(cell: tables.Cell | None) -> str:
    """Returns the text of a cell of the Markdown table, a dash for ``None``."""
    if cell is None:
        return markdown.MISSING
    text = f"**{mean_and_deviation(cell)}**" if cell.best else mean_and_deviation(cell)
    return text + r"\*" * cell.significant


def percent(fraction: float) -> str:
    """Returns a fraction in percent with two decimals, as in the paper."""
    return f"{100 * fraction:.2f}"


def points(difference: float) -> str:
    """Returns a difference of fractions in percentage points, with its sign."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # -0.0 + 0.0 is 0.0


def mean_and_deviation(cell: tables.Cell) -> str:
    """Returns the mean in percent and, for more than one seed, the standard deviation in brackets."""
    return percent(cell.mean) + (f" ({percent(cell.deviation)})" if cell.deviation is not None else "")


def effects(table: tables.Table) -> list[list[str]]:
    """Returns a row for each comparison, with what :data:`EFFECTS` names."""
    return [
        [
            target,
            method,
            points(comparison.mean_difference),
            f"{comparison.rank_biserial:+.2f}",
            f"{comparison.p:.3g}",
            str(len(comparison.seeds)),
            str(comparison.differing),
        ]
        for target, method, comparison in table.comparisons
    ]


def _effects(table: tables.Table) -> str:
    rows = [[*map(markdown.escape, row[:2]), *row[2:]] for row in effects(table)]
    title = f"Against {markdown.escape(table.baseline)}, in pairs of the same seed:"
    return f"{title}\n\n{markdown.table(EFFECTS, rows, num_names=2)}" if rows else ""


def to_latex(table: tables.Table) -> str:
    """Returns the table as a LaTeX ``tabular`` that needs no package, with the notes as comments."""
    rows = [
        [_latex_name(target), *(_latex_cell(table.cells[target].get(method)) for method in table.methods)]
        for target in table.targets
    ]
    lines = [f"% {printable(line)}" for line in notes.of(table)]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.methods)}}}", r"\hline"]
    lines += [_latex_line(["target", *map(_latex_name, table.methods)]), r"\hline"]
    lines += [*map(_latex_line, rows), r"\hline"]
    if table.averages:
        lines += [_latex_line(["average", *(percent(table.averages[method]) for method in table.methods)]), r"\hline"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _latex_name(name: str) -> str:
    return printable(name).translate(_LATEX)


def _latex_cell(cell: tables.Cell | None) -> str:
    if cell is None:
        return "--"
    text = rf"\textbf{{{mean_and_deviation(cell)}}}" if cell.best else mean_and_deviation(cell)
    return text + "*" * cell.significant


def _latex_line(cells: list[str]) -> str:
    line = " & ".join(cells)
    # LaTeX would take a star or a bracket after the previous line's \\ for an argument of it.
    return ("{}" if line.lstrip().startswith(("*", "[")) else "") + line + r" \\"


def to_csv(table: tables.Table) -> str:
    """Returns a header and one line for each target and method that has a seed.

    Accuracies and differences are fractions, with all digits. A missing value is empty.
    """
    rows = []
    for target in table.targets:
        for method, cell in table.cells[target].items():
            row = {
                "target": printable(target),
                "method": printable(method),
                "seeds": len(cell.accuracies),
                "mean": cell.mean,
                "standard_deviation": cell.deviation,
                "best": _yes_or_no(cell.best),
            }
            if cell.comparison is not None:
                row |= {
                    "pairs": len(cell.comparison.seeds),
                    "differing_pairs": cell.comparison.differing,
                    "mean_difference": cell.comparison.mean_difference,
                    "rank_biserial": cell.comparison.rank_biserial,
                    "p": cell.comparison.p,
                    "significant": _yes_or_no(cell.comparison.significant),
                    "can_reach_significance": _yes_or_no(cell.comparison.can_reach_significance),
                }
            rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
