import math

import pytest

from dg_jax import config, errors, run
from dg_jax.config import ranges

BEYOND = {
    "a whole number of at least 1": (0, -3),
    "a whole number of at least 1, or all": (0, -3, "some"),
    "STEP:FACTOR, such as 300:0.1": ("0:1", "300", "300:-1", "300:x"),
    "a whole number from 1 to 100": (0, 101, 10**20),
    "a positive number": (0.0, -1.0, math.inf, math.nan),
    "a number of at least 0": (-1e-9, math.inf, math.nan),
    "a whole number from 0 to 4294967295": (-1, 2**32),
    "a whole number of at least 0": (-1,),
    "a number from 0 to 1": (-0.1, 1.5, math.nan),
    "a number of at least 0 and below 1": (-0.1, 1.0, math.nan),
    "a number of at least 0 for each source": (-0.1, math.inf, math.nan),
    "a number for each source": (math.inf, math.nan),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, wanted) in ranges.RANGES.items() for value in BEYOND[wanted]]
)
def test_a_value_beyond_its_range_is_one_line_that_names_flag_and_range(name, value):
    wanted = ranges.RANGES[name][1]
    with pytest.raises(errors.UserError) as raised:
        run.parse([f"{config.flag(name)}={value}"])
    assert str(raised.value) == f"{config.flag(name)}={value}: give {wanted}"


def test_all_settings_with_a_range_are_there():
    assert ranges.RANGES.keys() <= config.flat(config.RunConfig()).keys()
    assert all(method in config.flat(config.RunConfig()) for method in ranges.OF_METHODS)


OWN = [
    (method, name, value)
    for method, of_method in ranges.OF_METHODS.items()
    for name, (_, wanted) in of_method.items()
    for value in ((-1,) if name == "anneal_steps" else BEYOND[wanted])
]


@pytest.mark.parametrize(("method", "name", "value"), OWN)
def test_a_value_of_a_method_out_of_range_is_refused(method, name, value):
    flag = f"{config.flag(method)}.{name.replace('_', '-')}"
    kind = "average" if method in ("ema", "swad") else "strategy"
    with pytest.raises(errors.UserError, match=f"{flag}={value}: give "):
        run.parse([f"--{kind}={method}", f"{flag}={value}"])
