"""The three rules on made-up runs, against what they say in words."""

import dataclasses

import pytest

from experiments.domainbed import selection
from tests.experiments.domainbed import made_records


@pytest.mark.parametrize(
    ("rule", "trial", "step", "accuracy", "selected_by"),
    [
        ("training_domain", 0, 100, 0.5, 0.9),  # 0.9 is the highest validation accuracy of all
        ("leave_one_out", 0, 150, 0.4, 0.7),  # 0.7 is the highest accuracy on the domains left out
        ("oracle", 1, 150, 0.6, 0.6),  # of the last steps only: 0.9 at step 100 does not count
    ],
)
def test_each_rule_selects_its_trial_and_step(rule, trial, step, accuracy, selected_by):
    choices = selection.choices(rule, made_records.search())
    assert choices["deep_all", "+80%", 0] == pytest.approx((accuracy, selected_by, trial, step))
    assert len(choices) == 2 * 3 * 2


def test_a_run_without_a_pair_serves_both_targets():
    [one] = selection.trials([made_records.record(("+90%",)), pair := made_records.record(("+80%", "+90%"))])[
        "deep_all", "+90%", 0
    ]
    assert one.without == {"+80%": pair}
    [other] = selection.trials([made_records.record(("+80%",)), pair])["deep_all", "+80%", 0]
    assert other.without == {"+90%": pair}


def test_the_value_is_the_mean_over_the_domains_left_out():
    records = [
        made_records.record(("+90%",)),
        made_records.record(("+90%", "+80%"), tested=(0.8, 0.1)),
        made_records.record(("+90%", "-90%"), tested=(0.1, 0.7)),
    ]
    choice = selection.choices("leave_one_out", records)["deep_all", "+90%", 0]
    assert choice == pytest.approx((0.3, 0.45, 0, 100))


def test_without_every_run_that_it_needs_leave_one_out_selects_nothing():
    records = [made_records.record(("+90%",)), made_records.record(("+90%", "+80%"))]
    assert not selection.choices("leave_one_out", records)
    assert selection.choices("oracle", records)
    other_steps = dataclasses.replace(made_records.record(("+90%", "-90%")), steps=[100, 200])
    assert not selection.choices("leave_one_out", [*records, other_steps])


def test_the_first_of_equal_trials_is_selected():
    records = [made_records.record(("+90%",), trial=trial) for trial in range(3)]
    assert selection.choices("training_domain", records)["deep_all", "+90%", 0].trial == 0
