"""Figure 4 of made-up results."""

import csv
import io
import statistics

from experiments import domain_control
from experiments.table1 import __main__ as table1
from tests.experiments import made_runs

FLAGS = ("--dataset=emoji", "--domains", *made_runs.DOMAINS, "--strategies", "agr_sum", "pcgrad", "--seeds=6")


def test_each_strategy_is_compared_to_its_own_single_domain_runs(made, command, tmp_path):
    def accuracies(config):
        single, target = config.method.batches == "single_domain", config.target
        gain = {"agr_sum": 0.1, "pcgrad": -0.05}[config.strategy] + 0.01 * made_runs.DOMAINS.index(target)
        return 0.5, 0.4 + 0.002 * config.seed + (0 if single else gain)

    made.accuracies = accuracies
    code, out, err = command(domain_control, *FLAGS)
    assert code == 0
    folder = tmp_path / "results/domain_control/emoji"
    files = ["figure4.md", "figure4.csv", "figure4.png", "figure4.pdf"]
    assert err == f"written to {folder}: {', '.join(files)}\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    assert (folder / "figure4.md").read_text() == out.removesuffix("\n")
    assert "Against agr_sum-single_domain" in out and "Against pcgrad-single_domain" in out
    rows = list(csv.DictReader(io.StringIO((folder / "figure4.csv").read_text())))
    assert [(row["method"], row["target"]) for row in rows] == [
        (name, target)
        for strategy in ("agr_sum", "pcgrad")
        for target in made_runs.DOMAINS
        for name in (f"{strategy}-single_domain", strategy)
    ]
    single_mean = 0.4 + 0.002 * statistics.fmean(range(6))
    for row in rows:
        gain = {"agr_sum": 0.1, "pcgrad": -0.05}.get(row["method"])
        if gain is None:
            assert round(float(row["mean"]) - single_mean, 9) == 0 and row["p"] == ""
        else:
            expected = gain + 0.01 * made_runs.DOMAINS.index(row["target"])
            assert round(float(row["mean_difference"]) - expected, 9) == 0
            assert row["pairs"] == "6" and row["significant"] == "yes"
            assert float(row["rank_biserial"]) == (1 if gain > 0 else -1)


def test_multi_domain_runs_are_those_of_table_1(made, command):
    command(table1, *FLAGS)
    of_table = list(made.done)
    assert len(of_table) == 3 * 6 * 2 and not any("single" in method for _, method, _ in of_table)
    assert command(domain_control, *FLAGS)[0] == 0
    assert made.done[len(of_table) :] == [(target, f"{method}-single_domain", s) for target, method, s in of_table]


def test_other_settings_of_single_domain_runs_are_refused_before_multi_domain_runs_start(made, command, tmp_path):
    command(domain_control, *FLAGS, "--learning-rate=0.5")
    for path in (tmp_path / "results/emoji").glob("*/agr_sum/*/result.json"):
        path.unlink()
    done = list(made.done)
    code, _, err = command(domain_control, *FLAGS)
    assert code == 2 and "--learning-rate is 0.001, but the run in" in err
    assert made.done == done


def test_a_kind_without_results_is_left_out(made, command, tmp_path):
    command(domain_control, *FLAGS)
    for path in (tmp_path / "results/emoji").glob("*/agr_sum-single_domain/*/result.json"):
        path.write_text("{}")
    code, out, err = command(domain_control, *FLAGS)
    assert code == 0 and err.count("warning: left out: ") == 18
    assert "Not tested, having no seed in common with agr_sum-single_domain: agr_sum on apple" in out
