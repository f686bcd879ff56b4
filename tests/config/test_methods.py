import dataclasses
import inspect

import pytest

from dg_jax import config, objectives, strategies, surgery
from dg_jax.config import methods, ranges


@pytest.mark.parametrize("method", [name for name in ranges.OF_METHODS if name not in ("ema", "swad")])
def test_a_group_has_the_arguments_of_its_method_with_the_same_defaults(method):
    function = getattr(objectives, method, None) or getattr(surgery, method)
    parameters = inspect.signature(function).parameters
    for name, value in dataclasses.asdict(getattr(config.Method(), method)).items():
        if value is not None:
            assert parameters[name].default == value
        elif parameters[name].default is not None:  # there is no usual value, or it depends on the run
            assert parameters[name].default is inspect.Parameter.empty
            annealed = {(objective, "anneal_steps") for objective in strategies.ANNEALED}
            assert (method, name) in {*ranges.REQUIRED.items()} | annealed


def test_every_group_is_a_part_of_the_method():
    groups = {kind for _, kind in inspect.getmembers(methods, dataclasses.is_dataclass)}
    assert groups == {type(getattr(config.Method(), name)) for name in ranges.OF_METHODS}
