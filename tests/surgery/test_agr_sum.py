import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg_jax import surgery
from tests.surgery import reference


def both_readings(stacked):
    """Results and states by ``zeros_agree``, under jit from one program."""
    combiners = {zeros_agree: surgery.agr_sum(zeros_agree=zeros_agree) for zeros_agree in (False, True)}
    return {zeros_agree: combiner.update(stacked, combiner.init(None)) for zeros_agree, combiner in combiners.items()}


@pytest.mark.parametrize("jit", [False, True])
def test_equals_equation_3(jit):
    updated = jax.jit(both_readings) if jit else both_readings
    of_shapes = reference.SHAPES if jit else reference.EAGER_SHAPES

    @given(stacked=reference.stacks(of_shapes=of_shapes), zeros_agree=st.booleans())
    def check(stacked, zeros_agree):
        result, state = updated(stacked)[zeros_agree]
        rows = reference.flat(stacked)
        np.testing.assert_allclose(
            reference.flat_result(result),
            reference.agr_sum(rows, zeros_agree),
            rtol=1e-5,
            atol=1e-6 * np.abs(rows).max(),
        )
        np.testing.assert_allclose(state.agreement, reference.agree(rows, zeros_agree).mean(), rtol=1e-6)

    check()


def test_zero_beside_a_sign_is_a_conflict():
    combiner = surgery.agr_sum()
    stacked = np.array([[0.0, 0.0, 0.0, -0.0], [1.0, -1.0, 0.0, 0.0]], np.float32)
    result, state = combiner.update(stacked, combiner.init(None))
    np.testing.assert_array_equal(result, [0, 0, 0, 0])
    assert state.agreement == 0.5
    _, state = surgery.agr_sum(zeros_agree=False).update(stacked, state)
    assert state.agreement == 0.0


def test_the_sum_of_rows_does_not_depend_on_their_order():
    rows = np.random.default_rng(0).normal(size=(5, 100)).astype(np.float32)
    combiner = surgery.agr_sum()
    one, _ = combiner.update(rows, combiner.init(None))
    other, _ = combiner.update(rows[::-1].copy(), combiner.init(None))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
