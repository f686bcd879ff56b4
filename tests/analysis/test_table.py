import numpy as np
import pytest

from dg_jax.analysis import significance, table
from tests.analysis import made_accuracies
from tests.analysis.made_accuracies import METHODS, TARGETS


def test_numbers_are_numpys():
    accuracies = made_accuracies.make()
    summary = table.summarize(accuracies, METHODS, TARGETS)
    for target in TARGETS:
        means = {method: np.mean(list(accuracies[target][method].values())) for method in METHODS}
        for method in METHODS:
            cell = summary.cells[target][method]
            np.testing.assert_allclose(cell.mean, means[method], rtol=1e-12)
            np.testing.assert_allclose(cell.deviation, np.std(list(accuracies[target][method].values()), ddof=1))
            assert cell.best == (method == max(means, key=means.get))
            if method == "deep_all":
                assert cell.comparison is None and not cell.significant
            else:
                assert cell.comparison == significance.compare(
                    accuracies[target][method], accuracies[target]["deep_all"]
                )
    for method in METHODS:
        values = [list(accuracies[target][method].values()) for target in TARGETS]
        np.testing.assert_allclose(summary.averages[method], np.mean(np.mean(values, axis=1)))
    assert len(summary.comparisons) == len(TARGETS) * (len(METHODS) - 1)
    agr_sum = {target: summary.cells[target]["agr_sum"] for target in TARGETS}
    assert {target: cell.significant and cell.best for target, cell in agr_sum.items()} == {
        target: target != "photo" for target in TARGETS
    }


def test_order_and_selection_are_as_asked():
    summary = table.summarize(made_accuracies.make(), ["pcgrad", "agr_sum"], ["sketch", "photo"])
    assert list(summary.cells) == ["sketch", "photo"] and list(summary.cells["sketch"]) == ["pcgrad", "agr_sum"]
    assert all(cell.comparison is not None for row in summary.cells.values() for cell in row.values())


def test_all_that_print_the_same_highest_mean_are_best():
    row = {"deep_all": {0: 0.1, 1: 0.5}, "a": {0: 0.5, 1: 0.1}, "b": {0: 0.30001}, "c": {0: 0.2999}}
    cells = table.summarize({"t": row}, list(row), ["t"]).cells["t"]
    assert [cell.best for cell in cells.values()] == [True, True, True, False]


def test_a_single_seed_has_no_deviation():
    cell = table.summarize({"t": {"a": {4: 0.25}}}, ["a"], ["t"]).cells["t"]["a"]
    assert (cell.mean, cell.deviation) == (0.25, None)


def test_the_average_is_over_targets_that_all_methods_have():
    accuracies = made_accuracies.make(methods=("deep_all", "agr_sum"), num_seeds=3)
    del accuracies["photo"]["agr_sum"]
    accuracies["sketch"]["deep_all"] = {}
    summary = table.summarize(accuracies, ["deep_all", "agr_sum"], TARGETS)
    assert summary.averaged == ("art_painting", "cartoon")
    means = [np.mean(list(accuracies[target]["agr_sum"].values())) for target in summary.averaged]
    np.testing.assert_allclose(summary.averages["agr_sum"], np.mean(means))
    assert "agr_sum" not in summary.cells["photo"] and "deep_all" not in summary.cells["sketch"]
    assert table.summarize(accuracies, ["deep_all", "agr_sum"], ["photo", "sketch"]).averages == {}


def test_no_comparison_without_a_common_seed():
    accuracies = {"t": {"deep_all": {0: 0.5}, "agr_sum": {1: 0.5}}}
    assert table.summarize(accuracies, ["deep_all", "agr_sum"], ["t"]).comparisons == []
    assert table.summarize(accuracies, ["agr_sum"], ["t"], baseline="irm").comparisons == []


@pytest.mark.parametrize("accuracy", [58.1, -0.1, float("nan")])
def test_an_accuracy_that_is_not_a_fraction_is_refused(accuracy):
    with pytest.raises(ValueError, match=r"the accuracy of agr_sum on photo, seed 3, is .*: not in \[0, 1\]"):
        table.summarize({"photo": {"agr_sum": {3: accuracy}}}, ["agr_sum"], ["photo"])
