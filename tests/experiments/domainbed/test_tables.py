import csv
import io
import json
import math

import pytest

from experiments.domainbed import runs, selection, tables
from tests.experiments.domainbed import made_records

RULES = selection.RULES


def test_a_cell_is_the_mean_and_its_standard_error():
    table = tables.of_rules(made_records.search(), ["training_domain"])["training_domain"]
    cell = table["deep_all"]["+90%"]  # 0.500 and 0.501
    assert cell.mean == pytest.approx(0.5005)
    assert cell.error == pytest.approx(0.0005 / math.sqrt(2))
    assert table["agr_sum"]["average"].mean == pytest.approx(0.5105)


def test_of_one_split_there_is_no_error_and_without_a_target_no_average():
    records = [made_records.record((target,)) for target in made_records.DOMAINS[:2]]
    records += [made_records.record(("-90%",), method="agr_sum")]
    table = tables.of_rules(records, RULES)["oracle"]
    assert table["deep_all"]["+90%"] == tables.Cell(pytest.approx(0.2), None)
    assert "average" not in table["deep_all"]


def test_there_is_a_table_for_each_rule_and_one_of_what_the_rule_changes():
    text = tables.to_markdown(made_records.search(), RULES, beside_published=False)
    assert all(title in text for title in tables.TITLES.values())
    # 0.60 by the target itself less 0.50 by validation, in 6 pairs
    assert "| deep\\_all | oracle - training domain | +10.00 | 6 | 0.031 |" in text.replace("deep_all", "deep\\_all")
    assert "published" not in text


def test_a_rule_that_could_select_nothing_has_no_table():
    records = [made_records.record(("+90%",))]
    assert tables.TITLES["leave_one_out"] not in tables.to_markdown(records, RULES, beside_published=False)


def test_beside_published_numbers_stand_the_difference_and_its_size():
    records = [made_records.record(("-90%",), data_seed=seed, tested=(0.11, 0.13)) for seed in range(2)]
    text = tables.to_markdown(records, ["training_domain"], beside_published=True)
    [row] = [line for line in text.splitlines() if "ERM" in line]
    # selected at the second validation; 13.0 less 10.0, and 3.0 / 0.1
    assert row.split(" | ")[3:] == ["13.0 ± 0.0", "10.0 ± 0.1", "+3.00", "+30.0 |"]


@pytest.mark.parametrize("dataset", runs.DATASETS)
@pytest.mark.parametrize("rule", RULES)
def test_the_published_averages_are_those_of_the_published_cells(dataset, rule):
    cells = tables.published(dataset, rule)
    strategies = {strategy for strategy, _ in cells}
    assert strategies == {"deep_all", "irm", "group_dro", "mixup", "mldg", "coral", "mmd", "vrex"}
    for strategy in strategies:
        of_targets = [
            one.cell.mean for (name, target), one in cells.items() if name == strategy and target != "average"
        ]
        assert len(of_targets) == {"colored_mnist": 3, "rotated_mnist": 6}[dataset]
        assert cells[strategy, "average"].cell.mean == pytest.approx(sum(of_targets) / len(of_targets), abs=0.001)


def test_of_one_split_no_difference_is_in_standard_errors():
    text = tables.to_markdown([made_records.record(("-90%",))], ["oracle"], beside_published=True)
    [row] = [line for line in text.splitlines() if "ERM" in line]
    assert row.endswith("| - |")


def test_missing_runs_are_said():
    records = made_records.search()
    assert "Not every method" not in tables.to_markdown(records, RULES, beside_published=False)
    text = tables.to_markdown(records[:-1], RULES, beside_published=False)
    assert "Not every method has all runs: deep" in text and "23." in text


def test_the_file_of_cells_says_what_was_selected():
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(made_records.search(), RULES))))
    assert len(rows) == 3 * 2 * 3 * 2
    [row] = [
        row
        for row in rows
        if (row["rule"], row["method"], row["target"], row["split"]) == ("oracle", "agr_sum", "-90%", "1")
    ]
    assert float(row["accuracy"]) == pytest.approx(0.611)
    assert (row["trial"], row["step"]) == ("1", "150")
    assert json.loads(row["settings"])["batch_size"] == 65
