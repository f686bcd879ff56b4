import numpy as np

from experiments.finetune.validations import History
from experiments.styles import tables

# Six seeds of both methods. On the target, the second is ahead at the selected step and equal at equal validation.
HISTORIES = {
    target: {
        "deep_all": {seed: History([20, 40, 60], [0.5, 0.6, 0.6], [0.3, 0.4 + seed / 100, 0.9]) for seed in range(6)},
        "agr_sum": {seed: History([20, 40, 60], [0.6, 0.5, 0.7], [0.4 + seed / 100, 0.9, 0.6]) for seed in range(6)},
    }
    for target in ("line", "other")
}

# Three seeds of one target, with batches of one source.
OF_ONE_SOURCE = {
    "line": {
        f"{method}-single_domain": {seed: History([20, 40], [0.5, 0.4], [0.2 + seed / 100, 0.9]) for seed in range(3)}
        for method in HISTORIES["line"]
    }
}


def test_the_first_of_the_best_validations_is_selected():
    assert tables.selected(HISTORIES)["line"]["deep_all"] == {seed: 0.4 + seed / 100 for seed in range(6)}
    assert tables.selected(HISTORIES)["other"]["agr_sum"] == dict.fromkeys(range(6), 0.6)
    assert tables.validated(HISTORIES)["line"] == {
        "deep_all": dict.fromkeys(range(6), 0.6), "agr_sum": dict.fromkeys(range(6), 0.7),
    }  # fmt: skip


def test_the_table_tests_the_pairs_of_all_targets_together():
    text = tables.to_markdown(HISTORIES)
    deviation = 100 * np.std([seed / 100 for seed in range(6)], ddof=1)
    assert f"| line | deep_all | 6 | 60.00 (0.00) | 42.50 ({deviation:.2f}) | 42.50 ({deviation:.2f}) |" in text
    assert f"| line | agr_sum | 6 | 70.00 (0.00) | 60.00 (0.00) | 42.50 ({deviation:.2f}) |" in text
    selected, equal = [line for line in text.splitlines() if line.startswith("| agr_sum | 12 |")]
    assert "+17.50" in selected and selected.endswith("| 0.000 | 0.000 |")
    assert equal.endswith("| 1.000 | 1.000 |")


def test_a_study_of_several_targets_has_table_1_with_stars():
    text = tables.to_markdown(HISTORIES)
    deviation = 100 * np.std([seed / 100 for seed in range(6)], ddof=1)
    assert f"| line | 42.50 ({deviation:.2f}) | **60.00 (0.00)**\\* |" in text
    assert "| average | 42.50 | 60.00 |" in text and "not corrected" in text
    assert "Table 1" not in tables.to_markdown({"line": HISTORIES["line"]})


def test_figure_4_compares_the_same_seeds():
    [axes] = tables.figure_4(HISTORIES, OF_ONE_SOURCE).axes
    assert [text.get_text() for text in axes.texts] == ["41.00", "60.00", "21.00", "21.00"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["deep_all", "agr_sum"]
    assert axes.get_title() == "line"
