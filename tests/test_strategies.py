import dataclasses
import inspect

import pytest

from dg_jax import config, errors, objectives, settings, strategies, surgery


def test_every_name_in_the_table_exists():
    for strategy in strategies.STRATEGIES.values():
        assert callable(getattr(objectives, strategy.objective))
        assert callable(getattr(surgery, strategy.combiner))


def test_the_eight_columns_of_table_1():
    names = ["deep_all", "agr_sum", "agr_rand", "pcgrad", "irm", "mldg", "mixup", "group_dro"]
    assert list(strategies.STRATEGIES) == names


def test_a_strategy_can_take_another_combiner():
    assert strategies.get("irm", "agr_sum") == strategies.Strategy("irm", "agr_sum")
    assert strategies.get("irm") == strategies.Strategy("irm", "deep_all")
    with pytest.raises(errors.UserError, match="unknown combiner 'sum'; there are: deep_all, agr_sum"):
        strategies.get("irm", "sum")


@pytest.mark.parametrize("method", settings.RANGES)
def test_settings_are_arguments_of_their_method_with_the_same_defaults(method):
    function = getattr(objectives, method, None) or getattr(surgery, method)
    parameters = inspect.signature(function).parameters
    group = getattr(config.RunConfig(), method)
    for name, value in dataclasses.asdict(group).items():
        assert parameters[name].default == (inspect.Parameter.empty if value is None else value)


def test_settings_reach_the_method():
    with pytest.raises(ValueError, match="alpha=-1"):
        strategies.make_objective("mixup", None, {"alpha": -1, "learning_rate": 1.0})
    with pytest.raises(ValueError, match="step_size=-1"):
        strategies.make_combiner("group_dro", {"step_size": -1, "seed": 3})


def test_objectives_that_accumulate_domains_have_the_argument():
    names = {strategy.objective for strategy in strategies.STRATEGIES.values()}
    able = {name for name in names if "accumulate_domains" in inspect.signature(getattr(objectives, name)).parameters}
    assert able == set(strategies.ACCUMULATE_DOMAINS["objective"])
