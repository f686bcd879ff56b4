import numpy as np
import pytest

from dg_jax.models.fast import blocks


@pytest.mark.parametrize(("size", "before", "counts"), [(2, 0, (2, 3)), (2, 1, (3, 3)), (4, 2, (2, 2)), (3, 0, (1, 1))])
def test_a_block_holds_its_pixels(size, before, counts):
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    ours = blocks.to_blocks(x, size, ((before, 0), (before, 0)), counts)
    padded = np.zeros((2, size * counts[0] + 20, size * counts[1] + 20, 3), np.float32)
    padded[:, before : before + 4, before : before + 6] = x
    for row in range(counts[0]):
        for column in range(counts[1]):
            block = padded[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
            np.testing.assert_array_equal(ours[:, row, column], block.reshape(2, -1))
