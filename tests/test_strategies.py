import inspect
import typing

import jax
import numpy as np
import pytest

from dg_jax import errors, objectives, strategies, surgery
from dg_jax.config import ranges


def test_every_name_in_the_table_exists():
    for strategy in strategies.STRATEGIES.values():
        assert callable(getattr(objectives, strategy.objective))
        assert callable(getattr(surgery, strategy.combiner))


def test_the_eight_columns_of_table_1():
    names = ["deep_all", "agr_sum", "agr_rand", "pcgrad", "irm", "mldg", "mixup", "group_dro"]
    assert list(strategies.PAPER) == list(strategies.STRATEGIES)[:8] == names


def test_every_combiner_has_a_strategy():
    of_surgery = {name for name in surgery.__all__ if name[0].islower()}
    combiners = of_surgery - {
        "accumulate",
        "agreement",
        "diagnostics",
        "every",
        "value_and_grads",
        "value_and_jacobian",
    }
    assert combiners == {strategy.combiner for strategy in strategies.STRATEGIES.values()} <= strategies.FORMS.keys()
    for name in combiners - {"deep_all"}:
        assert strategies.get(name) == strategies.Strategy("erm", name)


def test_a_strategy_can_take_another_combiner():
    assert strategies.get("irm", "agr_sum") == strategies.Strategy("irm", "agr_sum")
    assert strategies.get("irm") == strategies.Strategy("irm", "deep_all")
    with pytest.raises(errors.UserError, match="unknown combiner 'mixup'; there are: deep_all, agr_sum"):
        strategies.get("irm", "mixup")


def test_settings_reach_the_method():
    with pytest.raises(ValueError, match="alpha=-1"):
        strategies.make_objective("mixup", None, {"alpha": -1}, learning_rate=1.0)
    with pytest.raises(ValueError, match="step_size=-1"):
        strategies.make_combiner("group_dro", {"step_size": -1}, key=3)


def test_a_setting_that_a_method_does_not_have_is_refused():
    with pytest.raises(TypeError, match="alpha"):
        strategies.make_combiner("group_dro", {"alpha": 1.0})
    with pytest.raises(TypeError, match="step_size"):
        strategies.make_objective("mixup", None, {"step_size": 1.0})


def test_the_table_of_forms_is_what_objectives_and_combiners_take():
    forms = typing.get_args(surgery.Form)[:3]  # to a combiner, on_demand is two_pass
    needed = {"krum": {"byzantine": 0}, "weighted": {"weights": [1, 2, 3]}}
    assert {name: [*settings] for name, settings in needed.items()} == {k: [v] for k, v in ranges.REQUIRED.items()}
    for strategy in strategies.STRATEGIES.values():
        takes_forms = "form" in inspect.signature(getattr(objectives, strategy.objective)).parameters
        assert takes_forms == (strategy.objective not in strategies.FORMS)
        combiner = getattr(surgery, strategy.combiner)(**needed.get(strategy.combiner, {}))
        for form in forms:
            _, jacobian = surgery.value_and_grads(lambda params, x: params @ x, form)(np.ones(2), np.ones((3, 2)))
            arguments = jacobian, combiner.init(None)
            if form in strategies.FORMS[strategy.combiner]:
                jax.eval_shape(combiner.update, *arguments, losses=np.ones(3))
            else:
                with pytest.raises(ValueError, match=f"{strategy.combiner} does not take form='{form}'"):
                    combiner.update(*arguments, losses=np.ones(3))
