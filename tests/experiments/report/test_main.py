"""The page of made-up results, read by a parser and by a browser."""

import collections
import csv
import importlib
import itertools
import json
import re
import shlex
import statistics
import sys

import pytest
from scipy import stats

from dg_jax import errors, strategies
from dg_jax.analysis import colours as colours_of_methods
from dg_jax.analysis import markdown
from dg_jax.command_line import flags
from dg_jax.config import changed
from dg_jax.training import compared, run_folder
from experiments import domain_control, grid_search, sweep
from experiments.gradient_similarity import __main__ as gradient_similarity
from experiments.report import __main__ as report
from experiments.report import parts
from experiments.table1 import __main__ as table1
from tests.experiments import browser, html_page, made_results, made_runs

ELEMENTS = (
    "html head meta link title style body header nav main section h1 h2 h3 p ul li a pre "
    "figure figcaption div table caption thead tbody tr th td strong span "
    "svg g path text defs use clippath rect pattern image"
)
LUMINANCE = (0.2126, 0.7152, 0.0722)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made_results.make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def file(results):
    path = results.parent / "new folder/report.html"
    assert report.main([f"--results-dir={results}", f"--output={path}"]) == 0
    return path


@pytest.fixture(scope="module")
def page(file):
    return html_page.Page(file.read_text(encoding="ascii"))


@pytest.fixture
def one_run(results, tmp_path):
    """A results directory with one run, in ``emoji/apple/agr_sum/seed-0``."""
    source = results / "emoji/apple/agr_sum/seed-0"
    run = tmp_path / "results/emoji/apple/agr_sum/seed-0"
    run.mkdir(parents=True)
    for path in source.iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    return tmp_path / "results"


def call(capsys, results_dir, *flags):
    code = report.main([f"--results-dir={results_dir}", *flags])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_nothing_comes_from_elsewhere(file, page):
    text = file.read_text(encoding="ascii")
    assert "://" not in text and "@import" not in text
    assert set(re.findall(r"url\(\s*(.)", text)) <= {"#"}
    assert {tag for tag, _ in page.tags} <= set(ELEMENTS.split())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "aria-labelledby", "xlink:href", "data", "srcset", "action"):
            value = attributes.get(name)
            if name == "aria-labelledby" and value:
                assert value in ids
            elif value:
                assert value.startswith("data:") or value.removeprefix("#") in ids
    policy = {attributes.get("http-equiv"): attributes.get("content") for tag, attributes in page.tags if tag == "meta"}
    assert policy["Content-Security-Policy"].startswith("default-src 'none';")


def test_it_can_be_read_out(page):
    assert page.tags[0] == ("html", {"lang": "en"})
    assert len(page.texts["title"]) == len(page.texts["h1"]) == 1 and page.texts["title"] == page.texts["h1"]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    labels = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert len(labels) == 32 and all(labels) and len(set(labels)) == len(labels)
    assert all(attributes.get("role") == "img" for tag, attributes in page.tags if tag == "svg")
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.tags if tag == "th")
    scrolling = [attributes for tag, attributes in page.tags if "scroll" in attributes.get("class", "").split()]
    assert len(scrolling) >= len(page.tables)
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in scrolling)


def test_the_table_has_the_numbers_on_disk(results, page):
    accuracies = collections.defaultdict(dict)
    for path in results.glob("emoji/*/*/seed-*/result.json"):
        if "single_domain" not in str(path) and path.read_text() != "{":
            accuracies[path.parts[-4:-2]][path.parts[-2]] = json.loads(path.read_text())["test_accuracy"]
    assert len(accuracies) == 9 and len(accuracies["google", "irm"]) == 5
    table = page.tables["emoji: accuracy on the target in percent"]
    assert table.header == ["target", "deep_all", "agr_sum", "irm"]
    assert [row[0] for row in table.rows] == [*made_runs.DOMAINS, "average"]
    num_stars = 0
    for target, *cells in table.rows[:3]:
        for method, cell in zip(table.header[1:], cells, strict=True):
            of_cell, baseline = accuracies[target, method], accuracies[target, "deep_all"]
            mean, deviation = statistics.fmean(of_cell.values()), statistics.stdev(of_cell.values())
            pairs = [(of_cell[seed], baseline[seed]) for seed in of_cell.keys() & baseline.keys()]
            star = method != "deep_all" and bool(stats.wilcoxon(*zip(*pairs, strict=True)).pvalue < 0.05)
            assert cell == f"{100 * mean:.2f} ({100 * deviation:.2f})" + "*" * star
            num_stars += star
    assert 0 < num_stars < 6
    means = [
        [statistics.fmean(accuracies[target, method].values()) for target in made_runs.DOMAINS]
        for method in table.header[1:]
    ]
    assert table.rows[3][1:] == [f"{100 * statistics.fmean(of_method):.2f}" for of_method in means]
    effects = page.tables["emoji: accuracy on the target in percent: against deep_all, in pairs of the same seed"]
    assert [row[:2] for row in effects.rows] == [[t, m] for t in made_runs.DOMAINS for m in ("agr_sum", "irm")]
    notes = " ".join(page.texts["p"])
    assert "over 7 seeds (irm on google: 5)" in notes and "A star: p below 0.05 against deep_all" in notes
    assert "Seeds that only one of the two methods has are in no pair: irm on google: 5 to 6." in notes


def test_other_experiments_are_there(page):
    control = page.tables["emoji: agr_sum with single-domain and with multi-domain batches, in percent"]
    assert control.header == ["target", "agr_sum-single_domain", "agr_sum"]
    assert [row[0] for row in control.rows] == ["apple", "windows", "average"]
    grid = page.tables["emoji, agr_sum: validation accuracy in percent, mean of 2 runs in each cell"]
    assert [row[0] for row in grid.rows] == ["1e-4"] and len(grid.header) == 4
    assert "The best is --learning-rate=1e-4 --weight-decay=0." in page.texts["figcaption"]
    similarity = page.tables[
        "folder: mean cosine similarity of gradients within domains (intra) and between them (inter) by target"
    ]
    assert similarity.rows[0][:2] == [made_results.HOSTILE[0], "1"] and similarity.rows[0][-1].endswith(" of 3")
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert sum("validation accuracy over training steps" in label for label in labels) == 6  # for each target


def test_names_that_are_html_are_shown_as_they_are(page):
    table = page.tables["folder: accuracy on the target in percent"]
    assert sorted(row[0] for row in table.rows[:-1]) == sorted(made_results.HOSTILE)
    assert set(made_results.HOSTILE) <= set(page.texts["text"])  # in figures
    assert made_results.MESSAGE in page.texts["text"]
    versions = page.tables["emoji: made with"]
    assert ["jax", made_results.MESSAGE, "1 of 81: apple; agr_sum; seed 3"] in versions.rows


def test_where_runs_differ_is_said(page):
    versions = page.tables["emoji: made with"]
    assert ["jax", "not recorded", "80 of 81"] in versions.rows
    assert ["device", "TPU v9", "1 of 81: apple; agr_sum; seed 3"] in versions.rows
    assert ["seeds side by side", "1", ""] in versions.rows
    settings = {name: value for name, value, which in page.tables["emoji: settings"].rows if not which}
    assert settings["iterations"] == "300" and settings["domains"] == "apple, google, windows"
    assert settings["irm.anneal_steps"] == "150" and "mixup.alpha" not in settings and "seed" not in settings
    rates = {value: which for name, value, which in page.tables["emoji: settings"].rows if name == "learning_rate"}
    assert (
        list(rates) == ["0.001", "those of the grid search"]
        and rates["those of the grid search"] == "6 of 81: apple; agr_sum; seeds 0 to 1"
    )
    measured = page.tables["folder, gradient similarity: settings"]
    assert measured.rows == [["every", "150"], ["iterations", "300"], ["per_domain", "16"]]
    assert "They differ in device, jax." in page.texts["p"] and "They are the same in all runs." in page.texts["p"]


def test_what_is_unfinished_or_damaged_is_said(results, page):
    assert f"Without a result yet, and not on this page: 1 in {results}/emoji/google/irm." in page.texts["p"]
    [line] = [text for text in page.texts["p"] if "is damaged" in text]
    assert line.startswith(f"{results}/emoji/google/irm/seed-5/result.json is damaged (Expecting")
    assert page.texts["h2"] == ["emoji", "folder", "Left out"]


def test_commands_make_the_same_runs_again(results, page):
    lines = page.texts["pre"]
    planned = {}
    for module, kind in ((table1, table1.Table1), (domain_control, domain_control.DomainControl)):
        for line in lines:
            command = shlex.split(line)
            if command[:3] == ["python", "-m", module.__name__.removesuffix(".__main__")]:
                settings = flags.parse(kind, command[3:], "")
                for batches in ("multi_domain", "single_domain")[: 1 + (module is domain_control)]:
                    for one in sweep.configs(changed(settings, batches=batches)):
                        planned[run_folder.folder_of(one).path.relative_to(results)] = compared.to_json(one)
    stored = {
        path.parent.relative_to(results): json.loads(path.read_text())
        for path in results.glob("*/*/*/seed-*/config.json")
    }
    assert planned.keys() == stored.keys()
    for name, config in stored.items():
        assert (
            planned[name] | {"results_dir": config["results_dir"], "classes": config["classes"], "inputs": {}} == config
        )
    [line] = [line for line in lines if "grid_search" in line]
    grid = flags.parse(grid_search.GridSearch, shlex.split(line)[3:], "")
    assert grid.learning_rates == (1e-4,) and grid.weight_decays == (0.0, 5e-5, 5e-4)
    assert (grid.strategies, grid.targets, grid.seeds) == (("agr_sum",), ("apple",), 2)
    [line] = [line for line in lines if "gradient_similarity" in line]
    similarity, [one] = gradient_similarity.parse(shlex.split(line)[3:])
    assert one.target == made_results.HOSTILE[0] and list(one.sources) == list(made_results.HOSTILE[1:])
    assert (similarity.every, similarity.per_domain, similarity.seeds, one.optimisation.iterations) == (150, 16, 1, 300)


def test_runs_with_other_settings_have_a_command_of_their_own(one_run, results, capsys, tmp_path):
    config = json.loads((one_run / "emoji/apple/agr_sum/seed-0/config.json").read_text())
    for seed, changes in enumerate(({"weights": "a b.safetensors"}, {"combiner": None, "skip_damaged": True}), start=1):
        run = one_run / f"emoji/apple/agr_sum/seed-{seed}"
        run.mkdir()
        (run / "config.json").write_text(json.dumps(config | {"seed": seed} | changes))
        (run / "result.json").write_bytes((one_run / "emoji/apple/agr_sum/seed-0/result.json").read_bytes())
    path = tmp_path / "report.html"
    assert call(capsys, one_run, f"--output={path}")[0] == 0
    page = html_page.Page(path.read_text())
    start = "python -m experiments.table1 --dataset=emoji --targets apple --strategies agr_sum"
    place = f"--results-dir={one_run}"
    assert page.texts["pre"][:3] == [
        f"{start} --seeds=1 --domains apple google windows {place}",
        f"{start} --seeds=2 --domains apple google windows '--weights=a b.safetensors' {place}",
        f"{start} --seeds=3 --domains apple google windows --skip-damaged {place}",
    ]
    unlike = "Not all of these runs have the same settings: they differ in skip_damaged, weights (see Configuration)."
    assert unlike in page.texts["p"]
    assert ["skip_damaged", "true", "1 of 3: seed 2"] in page.tables["emoji: settings"].rows


def test_the_same_results_are_the_same_file(one_run, capsys, tmp_path):
    for name in ("a.html", "b.html"):
        assert call(capsys, one_run, f"--output={tmp_path / name}") == (0, f"{tmp_path / name}\n", "")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


FOREIGN = {
    "emoji/apple/agr_sum/seed-0/result.json": ["", "[]", '{"test_accuracy": "<b>"}', "\xff", "[" * 100000],
    "emoji/apple/agr_sum/seed-0/config.json": ["", "{}", '{"dataset": 3}', '{"learning_rate": NaN}'],
    "gradient_similarity/emoji/apple/seed-0.json": ["", "[]", "3", '{"settings": [], "layers": [], "steps": []}'],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in FOREIGN for text in FOREIGN[name]])
def test_a_damaged_file_is_left_out_with_a_line(one_run, name, text, capsys, tmp_path):
    (one_run / name).parent.mkdir(parents=True, exist_ok=True)
    (one_run / name).write_text(text, encoding="latin-1")
    if "similarity" in name:
        (one_run / "emoji/apple/agr_sum/seed-0/result.json").unlink()
    code, out, err = call(capsys, one_run, f"--output={tmp_path / 'report.html'}")
    warning, error = err.splitlines()
    assert (code, out) == (2, "") and not (tmp_path / "report.html").exists()
    assert warning.startswith(f"warning: left out: {one_run / name} is damaged (")
    assert error.startswith(f"error: --results-dir={one_run}: no finished run in there")


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"target": "windows"}, {"batches": "single_domain"}, {"combiner": "pcgrad"}, {"dataset": "a"}],
)
def test_files_of_another_run_are_left_out(one_run, changes, capsys):
    path = one_run / "emoji/apple/agr_sum/seed-0/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    code, _, err = call(capsys, one_run)
    assert code == 2 and f"warning: left out: {path.parent} holds files of another run (" in err


def test_damaged_metrics_leave_out_a_curve_and_unlike_measurements_a_seed(one_run, capsys, tmp_path):
    (one_run / "emoji/apple/agr_sum/seed-0/metrics.jsonl").write_text('{"step": 20, "val_accuracy": "high"}\n')
    folder = one_run / "gradient_similarity/<b>/apple"
    made_results.write_similarity(folder / "seed-0.json")
    made_results.write_similarity(folder / "seed-1.json", steps=[0, 1, 2])
    code, _, err = call(capsys, one_run, f"--output={tmp_path / 'report.html'}")
    lines = err.splitlines()
    assert code == 0 and len(lines) == 2
    assert lines[0] == (
        f"warning: left out: {folder}/seed-1.json was measured with other settings than seed-0.json beside it; "
        "measure one of them again"
    )
    assert lines[1].startswith(f"warning: left out: {one_run}/emoji/apple/agr_sum/seed-0/metrics.jsonl is damaged (")
    page = html_page.Page((tmp_path / "report.html").read_text())
    assert [line.removeprefix("warning: left out: ") for line in lines] == page.texts["p"][-2:]
    assert "There are none: this version knows no dataset <b>." in page.texts["p"]
    assert not any("Validation accuracy" in heading for heading in page.texts["h3"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--results-dir=nowhere"], "--results-dir=nowhere: no such folder; name the one that runs were written to"),
        (["--output=report.pdf"], "--output=report.pdf: give a name that ends in .html"),
        (["--output=taken.html/report.html"], "--output=taken.html/report.html: cannot write it: "),
        (["--output=folder.html"], "--output=folder.html: cannot write it: Is a directory; give another place"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_bad_input_is_one_line(one_run, flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").write_text("in the way")
    (tmp_path / "folder.html").mkdir()
    monkeypatch.setattr(parts, "page", lambda *args: "drawn elsewhere")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(capsys, one_run, *flags)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_directory_is_one_line(capsys, tmp_path):
    code, out, err = call(capsys, tmp_path, f"--output={tmp_path / 'report.html'}")
    assert (code, out) == (2, "") and not list(tmp_path.iterdir())
    assert err == (
        f"error: --results-dir={tmp_path}: no finished run in there (DATASET/TARGET/STRATEGY/seed-SEED/result.json) "
        "and no other results; name the folder that runs or experiments were written to\n"
    )


def test_without_jinja2_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(errors.UserError, match=r'the report needs jinja2; run: pip install -e "\.\[analysis\]"'):
        importlib.reload(parts)


def luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return sum(weight * value for weight, value in zip(LUMINANCE, linear, strict=True))


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_letters_and_lines_have_contrast_in_both_schemes(page):
    [style] = page.texts["style"]
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", block)) for block in style.split("prefers-color-scheme: dark"))
    assert luminance(light["page"]) > 0.9 and luminance(dark["page"]) < 0.02 and light.keys() == dark.keys()
    for colours in (light, dark):
        assert all(contrast(colours["page"], colours[name]) > 4.5 for name in ("ink", "soft", "link"))
        lines = (colours_of_methods.look(name).line for name in strategies.STRATEGIES)
        assert all(contrast(colours["page"], colour) > 3 for colour in lines)


@pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no Chromium on the PATH")
def test_a_browser_shows_it_on_a_phone_in_the_dark(file, tmp_path):
    with browser.Browser(tmp_path) as chromium:
        for width in (360, 1280):
            for dark in (False, True):
                chromium.open(file, width=width, dark=dark)
                assert chromium.evaluate("document.documentElement.scrollWidth") <= width
                assert chromium.evaluate("document.querySelectorAll('img, script').length") == 0
                assert [address for address in chromium.requests if not address.startswith("data:")] == [file.as_uri()]
                assert chromium.messages == []  # such as what the content policy forbids
                colours = chromium.evaluate(
                    "[[document.body, 'backgroundColor'], [document.body, 'color'], "
                    "[document.querySelector('svg text'), 'fill']].map(([one, what]) => getComputedStyle(one)[what])"
                )
                page, ink, letters = ([int(value) for value in re.findall(r"\d+", colour)] for colour in colours)
                assert letters == ink
                assert max(page) < 40 < 200 < min(ink) if dark else max(ink) < 40 < 200 < min(page)
        for width in (360, 390):  # on a phone nothing is cut at the right, figures and tables included
            chromium.open(file, width=width, dark=True)
            cut = "[...document.querySelectorAll('.scroll, svg, table, td')].filter(one => one.getBoundingClientRect()"
            assert chromium.evaluate(f"{cut}.right > {width} || one.scrollWidth > one.clientWidth + 1).length") == 0


def test_classes_are_shown_in_numbers_and_in_figures(results, page):
    table = page.tables["emoji, google: accuracy by class in percent, over all seeds"]
    assert table.header == ["class", "deep_all", "agr_sum", "irm"] and [row[0] for row in table.rows] == ["cat", "dog"]
    of_seeds = [
        json.loads(path.read_text())["confusion"] for path in results.glob("emoji/google/agr_sum/*/result.json")
    ]
    right, wrong = (sum(confusion[0][column] for confusion in of_seeds) for column in (0, 1))
    assert table.rows[0][2] == f"{100 * right / (right + wrong):.1f}" and table.rows[1][2] == markdown.MISSING
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert "emoji: confusion matrix of irm on google" in labels
    assert str(right) in page.texts["text"] and str(wrong) in page.texts["text"]


def test_the_figures_of_all_validations_as_csv(results, capsys, tmp_path):
    path = tmp_path / "page.html"
    code, out, _ = call(capsys, results, f"--output={path}", "--csv")
    assert (code, out) == (0, f"{path}\n{tmp_path / 'page.csv'}\n")
    with (tmp_path / "page.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [row for row in rows if (row["dataset"], row["target"], row["method"]) == ("emoji", "apple", "irm")]
    assert len(found) == 7 * 3 * 2  # seeds, validations, figures
    assert {row["name"] for row in rows} == {"val_accuracy", "val_loss"}
    of_one = [float(row["value"]) for row in found if row["seed"] == "3" and row["name"] == "val_accuracy"]
    assert of_one == pytest.approx([0.22, 0.24, 0.26])
    assert made_results.HOSTILE[1] in {row["target"] for row in rows}
