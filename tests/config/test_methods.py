import dataclasses
import inspect

import pytest

from dg_jax import config, objectives, surgery
from dg_jax.config import methods, ranges


@pytest.mark.parametrize("method", ranges.OF_METHODS)
def test_a_group_has_the_arguments_of_its_method_with_the_same_defaults(method):
    function = getattr(objectives, method, None) or getattr(surgery, method)
    parameters = inspect.signature(function).parameters
    for name, value in dataclasses.asdict(getattr(config.Method(), method)).items():
        assert parameters[name].default == (inspect.Parameter.empty if value is None else value)


def test_every_group_is_a_part_of_the_method():
    groups = {kind for _, kind in inspect.getmembers(methods, dataclasses.is_dataclass)}
    assert groups == {type(getattr(config.Method(), name)) for name in ranges.OF_METHODS}
