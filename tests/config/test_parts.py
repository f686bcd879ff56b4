import dataclasses

import pytest

from dg_jax import config


def test_the_splits_seed_is_the_runs_unless_it_is_given():
    assert config.Data().of_seed(3) == dataclasses.replace(config.Data(), split_seed=3)
    assert config.Data(split_seed=0).of_seed(3).split_seed == 0


@pytest.mark.parametrize("part", [config.Data, config.Network, config.Method, config.Optimisation, config.Output])
def test_parts_are_values(part):
    assert part() == part() and hash(part()) == hash(part())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part(), dataclasses.fields(part)[0].name, None)
