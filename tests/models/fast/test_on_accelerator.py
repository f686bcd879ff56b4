import pytest

from dg_jax.models.fast import on_accelerator
from dg_jax.models.fast.matrix_product import as_matrix_product
from tests.models.fast.cases import shapes_of


@pytest.mark.parametrize("taps", [5, 7])
def test_the_size_chooses_the_form(taps):
    def form(num_images, channels, stride):
        shapes = shapes_of((num_images, 128, 128, channels), (taps, taps, channels, 64))
        return on_accelerator.choose(*shapes, stride)

    assert form(1, 3, 4) is form(100, 3, 4) is as_matrix_product
    assert form(512, 3, 4) is on_accelerator.over_blocks
    assert form(512, 3, 1) is form(512, 64, 4) is on_accelerator.convolve_large
