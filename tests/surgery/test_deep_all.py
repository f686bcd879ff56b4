import jax
import numpy as np
import pytest
from hypothesis import given

from dg_jax import surgery
from tests.surgery import reference


@pytest.mark.parametrize("jit", [False, True])
def test_is_the_mean(jit):
    combiner = surgery.deep_all()
    update = jax.jit(combiner.update) if jit else combiner.update

    @given(stacked=reference.stacks(of_shapes=reference.SHAPES if jit else reference.EAGER_SHAPES))
    def check(stacked):
        result, _ = update(stacked, combiner.init(None))
        rows = reference.flat(stacked)
        np.testing.assert_allclose(
            reference.flat_result(result), rows.mean(axis=0), rtol=1e-5, atol=1e-6 * np.abs(rows).max()
        )

    check()
