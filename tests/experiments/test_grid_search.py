"""Grid search over made-up results."""

import json
import re

import pytest

from dg_jax import config, errors, run
from dg_jax.command_line import flags
from experiments import grid_search
from tests.analysis.made_accuracies import parse_markdown
from tests.experiments import made_runs

FLAGS = (
    "--dataset=emoji",
    "--domains",
    *made_runs.DOMAINS,
    *("--targets", "windows", "apple", "--strategies", "agr_sum", "pcgrad", "--seeds=2"),
    *("--learning-rates", "1e-4", "0.003", "--weight-decays", "0", "5e-5"),
)
# (learning rate, weight decay) -> mean validation accuracy of agr_sum
MEANS = {(1e-4, 0.0): 0.5, (1e-4, 5e-5): 0.625, (3e-3, 0.0): 0.55, (3e-3, 5e-5): 0.6}


def validation_against_test(config):
    """The best cell for one seed or target is not the best by the mean; test accuracies have the reverse order."""
    mean = MEANS.get((config.rates.learning_rate, config.rates.weight_decay), 0.5)
    if config.strategy == "pcgrad":
        mean = 1 - mean
    wave = 0.3 if config.rates.learning_rate > 1e-3 else 0.1
    validation = mean + (wave if config.target == "apple" else -wave) + (0.05 if config.seed else -0.05)
    return validation, 1 - mean


def test_the_pair_with_the_best_mean_validation_accuracy_is_chosen(made, command, tmp_path):
    made.accuracies = validation_against_test
    code, out, err = command(grid_search, *FLAGS)
    assert code == 0
    folder = tmp_path / "results/grid_search/emoji"
    assert re.findall("chosen: (.*)", out) == [
        "--learning-rate=1e-4 --weight-decay=5e-5",
        "--learning-rate=1e-4 --weight-decay=0",
    ]
    assert parse_markdown(out)[0] == [
        ["learning rate", "weight decay 0", "weight decay 5e-5"],
        ["1e-4", "50.00", "**62.50**"],
        ["3e-3", "55.00", "60.00"],
    ]
    assert out.count("1e-4 is the smallest learning rate tried; a smaller one may do better.") == 2
    assert "mean of 4 runs in each cell" in out
    for method in ("agr_sum", "pcgrad"):
        assert (folder / f"{method}.md").read_text() in out
        assert (folder / f"{method}.png").exists() and (folder / f"{method}.pdf").exists()
        assert f"written to {folder}: {method}.md, {method}.png, {method}.pdf" in err


def test_runs_of_a_cell_are_kept_apart_and_not_done_twice(made, command, tmp_path):
    made.accuracies = validation_against_test
    first = command(grid_search, *FLAGS)
    assert len(made.done) == 4 * 2 * 2 * 2
    files = list((tmp_path / "results").rglob("config.json"))
    stored = [json.loads(path.read_text()) for path in files]
    cells = {(one["learning_rate"], one["weight_decay"], one["results_dir"]) for one in stored}
    assert len(files) == len(made.done) and len(cells) == 4 and {cell[:2] for cell in cells} == set(MEANS)
    assert command(grid_search, *FLAGS) == first
    assert len(made.done) == len(files)
    command(grid_search, *FLAGS, "--weight-decays", "0", "5e-5", "1")
    assert len(made.done) == len(files) + 2 * 2 * 2 * 2


def test_the_chosen_flags_can_be_pasted(made, command):
    made.accuracies = validation_against_test
    out = command(grid_search, *FLAGS)[1]
    pasted = re.findall("chosen: (.*)", out)[0].split()
    parsed = flags.parse(config.RunConfig, pasted, "run")
    assert (parsed.rates.learning_rate, parsed.rates.weight_decay) == (1e-4, 5e-5)


def test_a_cell_does_not_win_because_its_hard_target_is_damaged(made, command, tmp_path):
    made.accuracies = validation_against_test
    command(grid_search, *FLAGS)
    cell = tmp_path / "results/grid_search/emoji/learning-rate-3e-3-weight-decay-0"
    for path in (cell / "emoji/windows/agr_sum").glob("*/result.json"):
        path.write_text("[]")
    code, out, err = command(grid_search, *FLAGS)
    assert code == 0 and err.count("warning: left out: ") == 2
    assert parse_markdown(out)[0][1:] == [["1e-4", "60.00", "72.50"], ["3e-3", "85.00", "**90.00**"]]
    assert "agr_sum: validation accuracy in percent, mean of 2 runs in each cell" in out
    for path in (cell / "emoji").glob("*/agr_sum/*/result.json"):
        path.write_text("[]")
    code, _, err = command(grid_search, *FLAGS)
    assert code == 2
    assert "agr_sum: no target and seed has a result in every cell of" in err


def test_a_cell_with_a_run_that_failed_says_so_and_is_not_chosen(made, command, tmp_path, monkeypatch):
    made.accuracies = validation_against_test
    run_of_all = run.run

    def run_or_fail(one, *args, **keywords):
        diverges = (
            one.rates.learning_rate == 1e-4
            and one.rates.weight_decay == 5e-5
            and one.target == "apple"
            and one.seed == 1
        )
        if one.strategy == "agr_sum" and diverges:
            raise errors.RunError("the loss of google is nan at step 7")
        return run_of_all(one, *args, **keywords)

    monkeypatch.setattr(run, "run", run_or_fail)
    code, out, err = command(grid_search, *FLAGS)
    assert code == 1
    assert parse_markdown(out)[0][1:] == [["1e-4", "50.00", "failed"], ["3e-3", "55.00", "**60.00**"]]
    assert re.findall("chosen: (.*)", out)[0] == "--learning-rate=3e-3 --weight-decay=5e-5"
    assert "agr_sum: validation accuracy in percent, mean of 4 runs in each cell" in out
    assert len(made.done) == 4 * 2 * 2 * 2 - 1
    cell = tmp_path / "results/grid_search/emoji/learning-rate-1e-4-weight-decay-5e-5/emoji/apple/agr_sum/seed-1"
    failed = f"error: 1 failed, the rest is done: {cell}: the loss of google is nan at step 7"
    assert err.splitlines()[-1] == failed
    assert (tmp_path / "results/grid_search/emoji/pcgrad.md").read_text() in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning-rates"], "--learning-rates: give at least one number"),
        (["--weight-decays"], "--weight-decays: give at least one number"),
        (["--learning-rates", "1e-3", "0"], "--learning-rate=0.0: give a positive number"),
        (["--learning-rates", "nan"], "--learning-rate=nan: give a positive number"),
        (["--weight-decays", "-1"], "--weight-decay=-1.0: give a number of at least 0"),
        (["--learning-rates", "fast"], "--learning-rates"),
        (["--learning-rate=0.1"], "--learning-rate=0.1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(made, command, tmp_path, flags, message):
    code, out, err = command(grid_search, *FLAGS, *flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not made.done and not (tmp_path / "results").exists()
