import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.surgery import reduce


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (4095,), (4096,), (3, 5000), (20_001,)])
def test_sums_are_numpys(shape, jit):
    rng = np.random.default_rng(0)
    real, whole = rng.normal(size=shape).astype(np.float32), rng.integers(0, 9, shape).astype(np.int32)
    sums = jax.jit(reduce.sums) if jit else reduce.sums
    first, second, third = sums(jnp.asarray(real), jnp.asarray(whole), jnp.asarray(np.square(real)))
    np.testing.assert_allclose(first, real.sum(dtype=np.float64), rtol=1e-6, atol=1e-6 * np.abs(real).sum())
    assert second == whole.sum() and second.dtype == jnp.int32
    np.testing.assert_allclose(third, np.square(real, dtype=np.float64).sum(), rtol=1e-6)


def test_equal_terms_keep_their_digits():
    sums = reduce.sums(jnp.full(30_000_000, 0.1, jnp.float32))
    np.testing.assert_allclose(sums[0], 30_000_000 * np.float64(np.float32(0.1)), rtol=2e-6)
