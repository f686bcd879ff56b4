"""Table 1 and Figure 3 of made-up results."""

import csv
import io
import json
import statistics

import pytest
from PIL import Image
from scipy import stats

from dg_jax.analysis import figures, markdown
from experiments.table1 import __main__ as table1
from experiments.table1 import paper
from tests.analysis.made_accuracies import parse_markdown
from tests.experiments import made_runs

FLAGS = ("--dataset=emoji", "--domains", *made_runs.DOMAINS, "--strategies", "deep_all", "agr_sum", "irm", "--seeds=7")


def stored_accuracies(folder, target, method):
    files = {seed: folder / f"emoji/{target}/{method}/seed-{seed}/result.json" for seed in range(7)}
    return [json.loads(files[seed].read_text())["test_accuracy"] for seed in files]


def test_all_files_have_the_numbers_on_disk(made, command, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save", made.save_figure)
    code, out, err = command(table1, *FLAGS)
    assert code == 0
    folder = tmp_path / "results/table1/emoji"
    files = ["table1.md", "table1.tex", "table1.csv", "figure3.png", "figure3.pdf"]
    assert err == f"written to {folder}: {', '.join(files)}\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert (folder / "table1.md").read_text() == out.removesuffix("\n")
    cells = {}
    for row in csv.DictReader(io.StringIO((folder / "table1.csv").read_text())):
        accuracies = stored_accuracies(tmp_path / "results", row["target"], row["method"])
        assert int(row["seeds"]) == 7
        assert float(row["mean"]) == pytest.approx(statistics.fmean(accuracies))
        assert float(row["standard_deviation"]) == pytest.approx(statistics.stdev(accuracies))
        if row["method"] != "deep_all":
            baseline = stored_accuracies(tmp_path / "results", row["target"], "deep_all")
            assert float(row["p"]) == pytest.approx(stats.wilcoxon(accuracies, baseline).pvalue)
        cells[row["target"], row["method"]] = f"{100 * statistics.fmean(accuracies):.2f}"
    assert list(cells) == [
        (target, method) for target in made_runs.DOMAINS for method in ("deep_all", "agr_sum", "irm")
    ]
    header, *rows = parse_markdown(out)[0]
    latex = (folder / "table1.tex").read_text()
    assert header == ["target", "deep_all", "agr_sum", "irm"]
    for target, *texts in rows[:3]:
        for method, text in zip(header[1:], texts, strict=True):
            assert text.strip("*").startswith(cells[target, method]) and cells[target, method] in latex
    with Image.open(folder / "figure3.png") as image:
        assert image.width > 500
    assert (folder / "figure3.pdf").read_bytes().startswith(b"%PDF")


def test_too_few_pairs_are_said(made, command):
    out = command(table1, *FLAGS, "--seeds=5")[1]
    assert "Each test rests on 5 pairs." in out and "no star could appear" in out


def test_a_method_whose_runs_are_all_damaged_is_a_column_of_dashes(made, command, tmp_path):
    command(table1, *FLAGS)
    for path in (tmp_path / "results/emoji").glob("*/irm/*/result.json"):
        path.write_text("")
    code, out, err = command(table1, *FLAGS)
    assert code == 0 and err.count("warning: left out: ") == 21
    header, *rows = parse_markdown(out)[0]
    assert header[-1] == "irm" and {row[-1] for row in rows} == {markdown.MISSING}


def test_results_that_cannot_be_written_are_one_line(made, command, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table1").write_text("in the way")
    code, out, err = command(table1, *FLAGS)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: cannot write {tmp_path}/results/table1") and err.count("\n") == 1


def test_the_papers_figures_stand_beside(made, command, tmp_path):
    for domain in ("art_painting", "cartoon", "photo", "sketch"):
        (tmp_path / "PACS" / domain / "dog").mkdir(parents=True)
    flags = [*FLAGS[5:], "--dataset=pacs", f"--data-dir={tmp_path / 'PACS'}", "--compare-paper"]
    code, out, _ = command(table1, *flags)
    assert code == 0 and (tmp_path / "results/table1/pacs/table1.md").read_text() == out.removesuffix("\n")
    *_, beside = parse_markdown(out)
    assert beside[0] == ["target", "method", "paper", "ours", "ours - paper"]
    by_name = {tuple(row[:2]): row[2:] for row in beside[1:]}
    with paper.FILE.open() as file:
        printed = {(row["target"], row["method"]): row for row in csv.DictReader(file) if row["dataset"] == "pacs"}
    assert set(by_name) == {name for name in printed if name[1] in ("deep_all", "agr_sum", "irm")}
    for name, (theirs, ours, difference) in by_name.items():
        assert theirs.strip("*\\").startswith(printed[name]["mean"])
        ours = float(ours.strip("*\\").split()[0])
        assert float(difference) == pytest.approx(ours - float(printed[name]["mean"]), abs=0.0101)


def test_the_paper_has_no_emoji(made, command, tmp_path):
    code, out, err = command(table1, *FLAGS, "--compare-paper")
    assert (code, out) == (2, "")
    assert err == "error: --compare-paper: the paper has no emoji; it has pacs, vlcs, office_home\n"
    assert not made.done and not (tmp_path / "results").exists()
