"""Tables are read back and compared with the numbers that they were made from."""

import csv
import io
import re

import pytest

from dg_jax.analysis import notes, render, table
from tests.analysis import made_accuracies
from tests.analysis.made_accuracies import METHODS, TARGETS


@pytest.fixture
def summary():
    accuracies = made_accuracies.make()
    del accuracies["sketch"]["mixup"][3]
    del accuracies["photo"]["irm"]
    return table.summarize(accuracies, METHODS, TARGETS)


def check_cell(text, cell, bold, star, missing):
    """Compares the text of one cell with its numbers, given the markup of bold and the star."""
    if cell is None:
        assert text == missing
        return
    assert text.endswith(star) == cell.significant
    text = text.removesuffix(star) if cell.significant else text
    assert (text.startswith(bold[0]) and text.endswith(bold[1])) == cell.best
    text = text[len(bold[0]) : -len(bold[1])] if cell.best else text
    mean, deviation = re.fullmatch(r"(\d+\.\d\d) \((\d+\.\d\d)\)", text).groups()
    assert float(mean) == pytest.approx(100 * cell.mean, abs=0.005001)
    assert float(deviation) == pytest.approx(100 * cell.deviation, abs=0.005001)


def check_rows(rows, summary, name, bold, star, missing):
    header, *body, average = rows
    assert header == ["target", *map(name, METHODS)]
    for target, row in zip(TARGETS, body, strict=True):
        assert row[0] == name(target)
        for method, text in zip(METHODS, row[1:], strict=True):
            check_cell(text, summary.cells[target].get(method), bold, star, missing)
    assert average[0] == "average"
    for method, text in zip(METHODS, average[1:], strict=True):
        assert float(text) == pytest.approx(100 * summary.averages[method], abs=0.005001)


def test_markdown(summary):
    text = render.to_markdown(summary)
    main, effects = made_accuracies.parse_markdown(text)
    check_rows(main, summary, str, ("**", "**"), r"\*", "-")
    assert text.count(r"**\*") == 3  # agr_sum is best and differs on all targets except photo
    assert effects[0] == ["target", "method", "difference in points", "rank-biserial r", "p", "pairs", "that differ"]
    assert len(effects) - 1 == len(summary.comparisons) == 27
    for row, (target, method, comparison) in zip(effects[1:], summary.comparisons, strict=True):
        assert row[:2] == [target, method]
        difference, rank_biserial, p, pairs, differing = map(float, row[2:])
        assert difference == pytest.approx(100 * comparison.mean_difference, abs=0.005001)
        assert rank_biserial == pytest.approx(comparison.rank_biserial, abs=0.005001)
        assert p == pytest.approx(comparison.p, rel=0.01)
        assert (pairs, differing) == (len(comparison.seeds), comparison.differing)


def test_latex(summary):
    text = render.to_latex(summary)
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r"\\")]
    rows = [line.split(" & ") for line in lines]
    check_rows(rows, summary, lambda name: name.replace("_", r"\_"), (r"\textbf{", "}"), "*", "--")
    assert r"\begin{tabular}{lrrrrrrrr}" in text and text.endswith("\\end{tabular}\n")
    comments = [line.removeprefix("% ") for line in text.splitlines() if line.startswith("%")]
    assert comments == notes.of(summary)


@pytest.mark.parametrize("name", ["[0.5]", "*", " [1cm]", "a[", "x*"])
def test_a_row_of_latex_that_begins_with_a_bracket_or_a_star_is_no_argument_of_the_one_before(name):
    text = render.to_latex(table.summarize({target: {"m": {0: 0.5}} for target in ("b", name)}, ["m"], ["b", name]))
    assert f"{name} & " in text
    behind = [after.lstrip() for after in text.split(r"\\")[1:]]  # LaTeX also looks past line ends and spaces
    assert not [after for after in behind if after.startswith(("[", "*"))]


def test_latex_escapes_names_of_folders():
    text = render.to_latex(table.summarize({r"a&b_100%{\}": {"m": {0: 0.5}}}, ["m"], [r"a&b_100%{\}"]))
    assert r"a\&b\_100\%\{\textbackslash{}\}" in text.splitlines()[-5]


def test_csv(summary):
    rows = list(csv.DictReader(io.StringIO(render.to_csv(summary))))
    assert [(row["target"], row["method"]) for row in rows] == [(t, m) for t in TARGETS for m in summary.cells[t]]
    for row in rows:
        cell = summary.cells[row["target"]][row["method"]]
        assert (float(row["mean"]), float(row["standard_deviation"])) == (cell.mean, cell.deviation)
        assert (int(row["seeds"]), row["best"]) == (len(cell.accuracies), "yes" if cell.best else "no")
        if cell.comparison is None:
            assert row["method"] == "deep_all" and not row["p"] and not row["pairs"] and not row["significant"]
            continue
        comparison = cell.comparison
        assert (int(row["pairs"]), int(row["differing_pairs"])) == (len(comparison.seeds), comparison.differing)
        assert float(row["p"]) == comparison.p
        assert float(row["rank_biserial"]) == comparison.rank_biserial
        assert float(row["mean_difference"]) == comparison.mean_difference
        assert row["significant"] == ("yes" if comparison.significant else "no")
        assert row["can_reach_significance"] == ("yes" if comparison.can_reach_significance else "no")


def test_missing_runs_and_a_single_method():
    nothing = table.summarize({}, ["deep_all", "agr_sum"], ["photo"])
    assert made_accuracies.parse_markdown(render.to_markdown(nothing)) == [
        [["target", "deep_all", "agr_sum"], ["photo", "-", "-"]]
    ]
    assert "No runs yet." in render.to_markdown(nothing) and render.to_csv(nothing).count("\n") == 1
    alone = render.to_markdown(table.summarize({"photo": {"deep_all": {0: 0.5}}}, ["deep_all"], ["photo"]))
    assert "**50.00** |" in alone and "over 1 seed;" in alone and "A star" not in alone
