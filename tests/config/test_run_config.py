import dataclasses

import pytest

from dg_jax import config, strategies
from dg_jax.config import methods
from experiments import sweep


def test_a_setting_is_changed_in_whatever_part_it_is():
    before = config.RunConfig()
    settings = config.flat(before)
    for name, value in settings.items():
        if isinstance(value, int) and not isinstance(value, bool):
            after = config.flat(config.changed(before, **{name: value + 1}))
            assert after == settings | {name: value + 1}
    assert config.flat(before) == settings


def test_settings_of_several_parts_are_changed_at_once():
    one = config.changed(config.RunConfig(), seed=3, iterations=7, learning_rate=0.5, irm=methods.Irm(1.0, 2))
    assert (one.seed, one.optimisation.iterations, one.rates.learning_rate) == (3, 7, 0.5)
    assert one.method_settings("irm") == {"penalty_weight": 1.0, "anneal_steps": 2}


@pytest.mark.parametrize("names", [{"iteration": 3}, {"iterations": 3, "lr": 0.1}, {"strategies": ()}])
def test_an_unknown_setting_is_a_type_error(names):
    with pytest.raises(TypeError):
        config.changed(config.RunConfig(), **names)


def test_many_runs_have_parts_and_no_settings_of_one():
    plan = config.changed(sweep.Sweep(), iterations=7, learning_rate=0.5)
    assert not isinstance(plan, config.RunConfig)
    assert (plan.optimisation.iterations, plan.rates.learning_rate) == (7, 0.5)
    for name in ("strategy", "target", "seed", "resume"):
        with pytest.raises(TypeError):
            config.changed(plan, **{name: 1})


def test_flat_names_are_unique_and_a_methods_own_settings_a_dict():
    one = config.RunConfig()
    names = [
        field.name
        for part in (one.data, one.network, one.method, one.optimisation, one.rates, one.machine, one.output)
        for field in dataclasses.fields(part)
    ]
    assert len(set(names)) == len(names)
    assert config.flat(one).keys() == {*names, "preset", "strategy", "target", "seed", "resume"}
    assert config.flat(one)["agr_sum"] == {"zeros": "agree"}


def test_what_a_run_derives_from_its_settings():
    one = config.changed(
        config.RunConfig(),
        domains=("a", "b", "c"),
        target="b",
        strategy="irm",
        combiner="agr_sum",
        iterations=9,
        seed=4,
    )
    assert one.sources == ("a", "c")
    assert one.methods == strategies.Strategy("irm", "agr_sum")
    assert one.method_settings("irm")["anneal_steps"] == 4 and one.method_settings("erm") == {}
    assert one.weights_file is None
    assert str(config.changed(one, weights="w-{seed}.safetensors").weights_file) == "w-4.safetensors"


def test_runs_share_a_loaded_dataset_where_it_would_be_the_same():
    one = config.changed(config.RunConfig(), target="apple", seed=1)
    for same in ({"strategy": "irm"}, {"iterations": 5}, {"model": "alexnet"}, {"results_dir": "x"}, {"split_seed": 1}):
        assert config.changed(one, **same).pictures == one.pictures
    for other in ({"target": "google"}, {"seed": 2}, {"split_seed": 2}, {"image_size": 16}, {"domains": ("a",)}):
        assert config.changed(one, **other).pictures != one.pictures
    fixed = [config.changed(one, seed=seed, split_seed=7) for seed in (1, 2)]
    assert fixed[0].pictures == fixed[1].pictures and hash(fixed[0].pictures) == hash(fixed[1].pictures)


def test_a_default_that_was_taken_back_has_a_flag():
    usual = {"weights": "imagenet", "learning_rate_drop": "300:0.1", "combiner": None}
    assert config.flags_of(dict.fromkeys(usual), usual) == ["--weights=None", "--learning-rate-drop=None"]


def test_a_flag_is_a_name_with_hyphens():
    assert config.flag("batch_size") == "--batch-size"


def test_every_setting_has_a_flag_with_its_type():
    types = dict(config.types(config.RunConfig))
    single = {name.partition(".")[0] for name in types}
    with_settings = {name for name, value in config.flat(config.RunConfig()).items() if value != {}}
    assert {config.flag(name) for name in with_settings} == single
    assert types["--seed"] is int and types["--irm.penalty-weight"] is float
    assert config.choices(config.RunConfig)["--agr-sum.zeros"] == ("agree", "conflict", "abstain")
