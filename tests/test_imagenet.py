import numpy as np

from dg_jax import imagenet


def test_pixels_are_what_was_normalised():
    images = np.random.default_rng(0).random((2, 3, 4, 3), np.float32)
    normal = imagenet.normalised(images)
    np.testing.assert_allclose(normal, (images - imagenet.MEAN) / imagenet.STD, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(imagenet.pixels(normal), 255 * images, rtol=1e-5, atol=1e-4)
    assert imagenet.pixels(normal).dtype == np.float32
