"""Which runs there are, and what each trains and watches."""

import collections

from dg_jax.command_line import flags
from experiments.domainbed import runs


def planned(tmp_path, *more):
    given = ["--dataset=rotated_mnist", f"--data-dir={tmp_path}", f"--results-dir={tmp_path}", "--trials=2", *more]
    return runs.plan(flags.parse(runs.Search, given, "test"))


def test_there_is_a_run_without_each_domain_and_one_without_each_pair(tmp_path):
    found = planned(tmp_path, "--strategies", "agr_sum", "irm", "--data-seeds=3")
    counts = collections.Counter((one.run.strategy, one.trial, one.data_seed) for one in found)
    assert set(counts.values()) == {6 + 15} and len(counts) == 2 * 2 * 3
    assert len({one.run for one in found}) == len(found)
    assert all(set(one.run.sources).isdisjoint(one.held_out) for one in found)
    assert all(len(one.run.sources) + len(one.held_out) == 6 for one in found)


def test_only_pairs_with_a_target_are_left_out(tmp_path):
    found = planned(tmp_path, "--strategies", "deep_all", "--data-seeds=1", "--trials=1", "--targets", "30°")
    assert [one.held_out for one in found if len(one.held_out) == 1] == [("30°",)]
    assert len(found) == 1 + 5 and all("30°" in one.held_out for one in found)


def test_runs_of_a_trial_share_what_it_draws_and_its_split(tmp_path):
    found = planned(tmp_path, "--strategies", "agr_sum", "irm", "--data-seeds=2")
    for one in found:
        [other] = [
            other
            for other in found
            if (other.run.strategy, other.trial, other.data_seed, other.held_out)
            == ("agr_sum", one.trial, one.data_seed, one.held_out)
        ]
        assert one.run.rates == other.run.rates
        assert one.run.optimisation.batch_size == other.run.optimisation.batch_size
        assert one.run.data.split_seed == one.data_seed and one.run.rates.weight_decay == 0
    assert len({one.run.rates.learning_rate for one in found}) == 3  # trial 0 has the default in both searches


def test_runs_of_one_program_differ_in_domains_only(tmp_path):
    found = planned(tmp_path, "--strategies", "agr_sum", "--data-seeds=1")
    sizes = collections.Counter(runs.alike(one.run) for one in found)
    assert sorted(sizes.values()) == [6, 6, 15, 15]


def test_without_leave_one_out_there_are_no_pairs(tmp_path):
    assert len(planned(tmp_path, "--strategies", "agr_sum", "--data-seeds=1", "--rules", "oracle")) == 12


def test_on_three_domains_mldg_has_no_pairs_and_says_so(tmp_path, capsys):
    given = ["--dataset=colored_mnist", f"--data-dir={tmp_path}", "--trials=1", "--data-seeds=1"]
    found = runs.plan(flags.parse(runs.Search, [*given, "--strategies", "mldg", "mixup"], "test"))
    assert "that table will lack it" in capsys.readouterr().err
    assert collections.Counter(one.run.strategy for one in found) == {"mldg": 3, "mixup": 6}


def test_a_penalty_may_be_drawn_that_never_sets_in(tmp_path):
    found = planned(tmp_path, "--strategies", "irm", "--data-seeds=1", "--trials=20", "--iterations=10")
    assert max(one.run.method.irm.anneal_steps for one in found) > 10
