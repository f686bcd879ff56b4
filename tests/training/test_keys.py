import itertools

import jax
import numpy as np

from dg_jax.training import keys


def test_each_seed_and_purpose_has_a_key_of_its_own():
    found = {
        tuple(np.asarray(jax.random.key_data(keys.key_for(seed, purpose))).tolist())
        for seed, purpose in itertools.product((0, 1, 2**32 - 1), keys.Purpose)
    }
    assert len(found) == 3 * len(keys.Purpose)


def test_the_numbers_of_the_purposes_are_part_of_every_result():
    assert {purpose.name: int(purpose) for purpose in keys.Purpose} == {
        "WEIGHTS": 0,
        "SAMPLING": 1,
        "OBJECTIVE": 2,
        "COMBINER": 3,
    }
