"""What trials draw: DomainBed's defaults first, and ranges that reach both ends and go no further."""

import math

import numpy as np
import pytest

from dg_jax.config import methods, ranges
from experiments.domainbed import search

MANY = range(1, 400)


def values(setting_name, settings):
    return [search.drawn(settings, trial, 0)[setting_name] for trial in MANY]


def test_trial_0_has_the_defaults():
    assert search.drawn(search.SHARED, 0, 7) == {"learning_rate": 1e-3, "batch_size": 64}
    assert search.drawn(search.OF_METHODS["irm"], 0, 7) == {"penalty_weight": 100.0, "anneal_steps": 500}


@pytest.mark.parametrize(
    ("method", "name", "low", "high"),
    [
        (None, "learning_rate", 10**-4.5, 10**-2.5),
        (None, "batch_size", 8, 512),
        ("irm", "penalty_weight", 0.1, 1e5),
        ("irm", "anneal_steps", 1, 1e4),
        ("group_dro", "step_size", 1e-3, 0.1),
        ("mixup", "alpha", 0.1, 10),
        ("mldg", "beta", 0.1, 10),
        ("coral", "penalty_weight", 0.1, 10),
        ("fishr", "penalty_weight", 10, 1e4),
        ("iga", "penalty_weight", 10, 1e5),
        ("sand_mask", "steepness", 1e-3, 1e5),
    ],
)
def test_powers_are_spread_evenly_over_their_range(method, name, low, high):
    drawn = values(name, search.OF_METHODS[method] if method else search.SHARED)
    assert low * 0.999 <= min(drawn) and max(drawn) <= high * 1.001
    logs = np.log([max(value, low) for value in drawn])
    tenth = (math.log(high) - math.log(low)) / 10
    assert min(logs) < math.log(low) + tenth and max(logs) > math.log(high) - tenth
    assert np.mean(logs) == pytest.approx((math.log(low) + math.log(high)) / 2, abs=tenth)


def test_trials_and_splits_draw_differently_and_always_the_same():
    one = search.drawn(search.SHARED, 1, 0)
    assert one == search.drawn(search.SHARED, 1, 0)
    assert one != search.drawn(search.SHARED, 2, 0) and one != search.drawn(search.SHARED, 1, 1)


def test_methods_share_what_they_share_in_name():
    irm, vrex = (search.drawn(search.OF_METHODS[name], 5, 1) for name in ("irm", "vrex"))
    assert irm == vrex


@pytest.mark.parametrize("method", search.OF_METHODS)
def test_what_is_drawn_is_a_setting_in_its_range(method):
    known = ranges.OF_METHODS[method]
    kind = getattr(methods, "".join(part.capitalize() for part in method.split("_")))
    for trial in range(50):
        drawn = search.drawn(search.OF_METHODS[method], trial, 0)
        kind(**drawn)
        for name, value in drawn.items():
            assert known[name][0](value), (name, value)
