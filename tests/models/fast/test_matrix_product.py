import numpy as np
import pytest

from dg_jax.models.fast.matrix_product import as_matrix_product


@pytest.mark.parametrize(("taps", "stride", "pad"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (5, 3, 2), (4, 2, 0)])
def test_a_product_for_each_window(taps, stride, pad):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 7, 3)), rng.normal(size=(taps, taps, 3, 4))
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = ((padded.shape[axis] - taps) // stride + 1 for axis in (1, 2))
    expected = np.zeros((2, rows, columns, 4))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * stride : i * stride + taps, j * stride : j * stride + taps]
            expected[:, i, j] = np.tensordot(window, kernel, 3)
    arguments = x.astype(np.float32), kernel.astype(np.float32), stride, ((pad, pad), (pad, pad))
    np.testing.assert_allclose(as_matrix_product(*arguments), expected, rtol=1e-4, atol=1e-5)
