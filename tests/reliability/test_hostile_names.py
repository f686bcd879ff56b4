"""Malicious names of files, classes and domains: on terminals, in tables, in figures."""

import csv
import io
import os

import matplotlib.figure
import numpy as np
import pytest
from rich import console

from dg_jax import errors, run
from dg_jax.analysis import figures, markdown, render, result_figures, table
from dg_jax.data import image_tree, prepared, registry
from dg_jax.training import progress, run_folder, run_result, step
from tests.data import made_trees
from tests.training import worlds

NAMES = [
    "two\nlines",
    "\x1b[2J\x1b]0;owned\x07",
    "carriage\rreturn",
    "<script>alert(1)</script>",
    "[/b][red]",
    "\u202egnp.exe",
    "$\\frac{$",
    "a|b*c`d[e](f)",
    "\\input{secret}%",
    "next\u2028line\x85",
    "\x9b31m",
]


@pytest.mark.parametrize("name", [*NAMES, "\udcff"])
def test_a_message_is_one_line_without_escapes(name, capsys):
    message = str(errors.UserError(f"{name} is wrong"))
    assert message.isprintable() and message.endswith(" is wrong")
    errors.warn(name)
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and said.endswith("\n") and said[:-1].isprintable()


def test_names_that_can_be_shown_are_left_alone():
    for name in ("Été au lac", "桜", "a b_c-d", "😀", "C:\\pictures"):
        assert errors.printable(name) == name


def test_of_a_long_message_both_ends_stay():
    message = str(errors.UserError("begins " + "x" * 10**6 + " ends"))
    assert message.startswith("begins x") and message.endswith("x ends") and len(message) < 5000


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_on_folders_of_such_names(name, tmp_path, capfd):
    made_trees.fill(tmp_path / "raw", (name, "other"), ("x", name.replace("/", "")), per_class=1, size=9)
    if "/" in name:
        (tmp_path / "raw" / name.split("/")[0]).rename(tmp_path / "raw" / name.replace("/", ""))
    name = name.replace("/", "")
    (tmp_path / "raw" / "other" / "x" / f"{name}.png").write_bytes(b"no picture")
    flags = ["--dataset=folder", f"--data-dir={tmp_path / 'raw'}", f"--prepared-dir={tmp_path / 'kept'}"]
    assert run.main([*flags, "--target=no such domain"]) == 2
    assert run.main([*flags, "--target=other", f"--results-dir={tmp_path / 'results'}"]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert all(line.isprintable() and "Traceback" not in line for line in said.err.split("\n"))
    assert len(said.err.splitlines()) >= 2 and said.err.count("error: ") == 2


@pytest.mark.parametrize(
    "name", [NAMES[0], "a[:50%]", "a+b", "all", "{}", "{DATASET}", "%2F", "a@b:c", "train-x", "x of y"]
)
def test_a_domain_of_such_a_name_is_opened(name, tmp_path):
    """TFDS has its own syntax for the names of splits."""
    made_trees.fill(tmp_path / "raw", (name, "a", "b"), ("x",), per_class=3, size=9)
    parts = {name: ("train",), "a": ("test",)}
    data = prepared.load(
        "folder", parts, image_size=8, split_seed=0, data_dir=tmp_path / "raw", prepared_dir=tmp_path / "kept"
    )
    assert list(data.domains) == [name, "a"]
    assert (len(data.domains[name]["train"].label), len(data.domains["a"]["test"].label)) == (2, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_of_such_names_says_them_printably(name, tmp_path):
    name = name.replace("/", "")
    made_trees.fill(tmp_path, ("a",), (name,), per_class=1, size=9)
    (tmp_path / "a" / name / "folder").mkdir()
    with pytest.raises(errors.UserError) as caught:
        image_tree.scan(tmp_path, registry.get("folder").layout, "folder")
    assert str(caught.value).isprintable() and os.sep in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_progress_bar_and_the_last_table(name, tmp_path, monkeypatch, capsys):
    shown = io.StringIO()
    terminal = console.Console(file=shown, force_terminal=True, width=300)
    monkeypatch.setattr(progress.console, "Console", lambda **options: terminal)
    config = worlds.tiny_config(tmp_path, domains=(name, "other", "target"), target="target")
    with progress.Display(config, True) as display:
        display.on_step(1, step.StepMetrics(np.array([0.5, 0.5]), {"agreement": 1.0}))
    assert errors.printable(name)[:20] in shown.getvalue() and name[:12] + "\n" not in shown.getvalue()
    for raw in ("\x07", "\x9b", "\u202e", "\x1b[2J", "\x1b]0;"):
        assert raw not in shown.getvalue()
    monkeypatch.undo()
    evaluation = {"val_accuracy": 0.5, "test_accuracy": 0.5, "test_accuracy_last": 0.5}
    methods = {"strategy": "agr_sum", "combiner": "agr_sum", "selected_step": 1}
    monkeypatch.setenv("COLUMNS", "300")
    classes = {"classes": [name, "other"], "confusion": [[2, 1], [0, 1]]}
    one = {"dataset": "folder", "target": name, "sources": [name], **methods, **evaluation, **classes}
    run.show(worlds.tiny_config(tmp_path, target=name), one)
    out = capsys.readouterr().out
    assert errors.printable(name) in out and all(line.isprintable() for line in out.split("\n"))


@pytest.mark.parametrize("name", NAMES)
def test_tables(name):
    summary = table.summarize({name: {"deep_all": {0: 0.5}, "agr_sum": {0: 0.6}}}, ["deep_all", "agr_sum"], [name])
    text = render.to_markdown(summary)
    assert "<" not in text and all(line.isprintable() for line in text.split("\n"))
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 7  # no name makes a row of its own
    latex = render.to_latex(summary)
    code = [line for line in latex.removesuffix("\n").split("\n") if not line.startswith("%")]
    assert len(code) == 9 and all(line.isprintable() for line in code)
    assert "\\input" not in "".join(code) and "\\frac" not in "".join(code)
    rows = list(csv.DictReader(io.StringIO(render.to_csv(summary), newline="")))
    assert [row["target"] for row in rows] == [errors.printable(name)] * 2


def test_markdown_shows_such_names_as_they_are():
    assert markdown.escape("<b>|*`[x](y)&") == r"&lt;b>\|\*\`\[x\](y)&amp;"


@pytest.mark.parametrize("name", NAMES)
def test_figures(name, tmp_path, recwarn):
    summary = table.summarize({name: {"deep_all": {0: 0.5}, "agr_sum": {0: 0.6}}}, ["deep_all", "agr_sum"], [name])
    figure = result_figures.box_plots(summary)
    assert isinstance(figure, matplotlib.figure.Figure)
    figures.save(figure, tmp_path / "figure.pdf")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_result_of_such_names_is_found_again(tmp_path):
    config = worlds.tiny_config(tmp_path, domains=(NAMES[0], NAMES[1], "windows"))
    data = worlds.tiny_dataset()
    data.domains[NAMES[0]], data.domains[NAMES[1]] = data.domains["apple"], data.domains["google"]
    result = worlds.train(config, data=data)
    assert run_result.finished(config, run_folder.folder_of(config), dict) == result
