import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference


def all_readings(stacked):
    """Results and states by ``zeros``; under jit they are one program."""
    combiners = {zeros: surgery.agr_sum(zeros) for zeros in reference.ZEROS}
    return {zeros: combiner.update(stacked, combiner.init(None)) for zeros, combiner in combiners.items()}


@pytest.mark.parametrize("jit", [False, True])
def test_equals_equation_3(jit):
    updated = jax.jit(all_readings) if jit else all_readings
    of_shapes = reference.SHAPES if jit else reference.EAGER_SHAPES

    @given(stacked=reference.stacks(of_shapes=of_shapes), zeros=st.sampled_from(reference.ZEROS))
    def check(stacked, zeros):
        result, state = updated(stacked)[zeros]
        rows = reference.flat(stacked)
        np.testing.assert_allclose(
            reference.flat_result(result),
            reference.agr_sum(rows, zeros),
            rtol=1e-5,
            atol=1e-6 * np.abs(rows).max(),
        )
        np.testing.assert_allclose(state.agreement, reference.agreement(rows, zeros), rtol=1e-6)

    check()


def test_zero_beside_a_sign_is_a_conflict():
    combiner = surgery.agr_sum()
    stacked = np.array([[0.0, 0.0, 0.0, -0.0], [1.0, -1.0, 0.0, 0.0]], np.float32)
    result, state = combiner.update(stacked, combiner.init(None))
    np.testing.assert_array_equal(result, [0, 0, 0, 0])
    assert state.agreement == 0.5
    _, state = surgery.agr_sum("conflict").update(stacked, state)
    assert state.agreement == 0.0


def test_a_zero_that_abstains_lets_the_others_pass():
    combiner = surgery.agr_sum("abstain")
    stacked = np.array([[0.0, 0.0, 0.0, -0.0, 2.0], [1.0, -1.0, 0.0, 0.0, -3.0], [0.0, 0.0, 0.0, 0.0, 0.0]], np.float32)
    result, state = combiner.update(stacked, combiner.init(None))
    np.testing.assert_array_equal(result, [1, -1, 0, 0, 0])
    np.testing.assert_allclose(state.agreement, 2 / 3)  # of the three that are not zero in all rows
    _, state = combiner.update(np.zeros((3, 4), np.float32), state)
    assert state.agreement == 1.0


def test_an_unknown_reading_of_zeros_is_an_error():
    for factory in (surgery.agr_sum, lambda zeros: surgery.agr_rand(zeros=zeros)):
        with pytest.raises(ValueError, match=r"zeros='no'; give 'agree', 'conflict', 'abstain'"):
            factory("no")
    with pytest.raises(ValueError, match="agreement: zeros=True"):
        surgery.agreement(np.ones((2, 3), np.float32), zeros=True)


def test_the_sum_of_rows_does_not_depend_on_their_order():
    rows = np.random.default_rng(0).normal(size=(5, 100)).astype(np.float32)
    combiner = surgery.agr_sum()
    one, _ = combiner.update(rows, combiner.init(None))
    other, _ = combiner.update(rows[::-1].copy(), combiner.init(None))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
