import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.data import augment


def test_the_hue_turns_as_in_pythons_own_module():
    image = np.random.default_rng(0).uniform(size=(5, 7, 3)).astype(np.float32)
    image[0, 0] = 0.5  # a grey has no hue
    image[0, 1] = 0.0
    for angle in (-0.3, 0.0, 0.2, 0.7):
        turned = np.asarray(augment.turn_hue(jnp.asarray(image), angle))
        for expected, given in zip(turned.reshape(-1, 3), image.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*given)
            np.testing.assert_allclose(colorsys.hsv_to_rgb((hue + angle) % 1, saturation, value), expected, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 50)])
def test_crops_have_the_areas_ratios_and_places_that_are_said(height, width):
    draw = jax.jit(jax.vmap(lambda key: augment.draw_crop(key, height, width)))
    top, left, heights, widths = map(np.asarray, draw(jax.random.split(jax.random.key(0), 5000)))
    assert (top >= 0).all() and (left >= 0).all() and (top + heights <= height).all() and (left + widths <= width).all()
    assert (heights == np.round(heights)).all() and (top == np.round(top)).all()
    area, ratio = heights * widths / (height * width), widths / heights
    is_whole = (heights == height) & (widths == width)
    slack = 1.1  # sides are whole pixels
    assert (area[~is_whole] > 0.7 / slack).all() and (area <= 1).all()
    assert (ratio[~is_whole] > 0.75 / slack).all() and (ratio[~is_whole] < 4 / 3 * slack).all()
    if height == width:
        assert 0.8 < area.mean() < 0.87 and abs(np.log(ratio).mean()) < 0.01
        assert abs(top.mean() - ((height - heights) / 2).mean()) < 0.1


def test_a_crop_of_everything_changes_nothing_and_of_a_part_is_bilinear():
    image = jax.random.uniform(jax.random.key(0), (8, 8, 3))
    np.testing.assert_allclose(augment.resized_crop(image, 0.0, 0.0, 8.0, 8.0), image, atol=1e-6)
    ramp = jnp.broadcast_to(jnp.arange(8.0)[:, None, None], (8, 8, 3))
    half = augment.resized_crop(ramp, 2.0, 2.0, 4.0, 4.0)
    np.testing.assert_allclose(half[:, 0, 0], np.arange(8) / 2 + 1.75, atol=1e-5)


def test_statistics_of_many_images():
    n = 4000
    image = np.zeros((6, 6, 3), np.float32)
    image[..., 0], image[..., 1], image[..., 2] = 0.6, 0.4, 0.3
    image[:, :3] += 0.1  # left is brighter
    images = jnp.broadcast_to(image, (n, 6, 6, 3))
    changed = np.asarray(jax.jit(augment.standard)(jax.random.key(1), images))
    assert changed.shape == images.shape and (changed >= 0).all() and (changed <= 1).all()
    is_grey = (np.ptp(changed, axis=-1) < 1e-6).all(axis=(1, 2))
    assert abs(is_grey.mean() - augment.GREY) < 0.02
    brightness = changed.mean(axis=(1, 2, 3))
    assert abs(brightness.mean() - image.mean()) < 0.02
    # A factor uniform in 1 - 0.3 to 1 + 0.3 has a deviation of 0.3 / sqrt(3) of the mean.
    assert 0.14 < brightness.std() / image.mean() < 0.21
    is_brighter_left = changed[:, :, 0].mean(axis=(1, 2)) > changed[:, :, -1].mean(axis=(1, 2)) + 1e-4
    is_brighter_right = changed[:, :, -1].mean(axis=(1, 2)) > changed[:, :, 0].mean(axis=(1, 2)) + 1e-4
    assert abs(is_brighter_left.sum() / (is_brighter_left | is_brighter_right).sum() - 0.5) < 0.03
    reds = (changed.argmax(axis=-1) == 0)[~is_grey].mean()
    assert 0.5 < reds < 0.8  # the hue turns by up to 0.3 of the circle


def test_an_image_is_changed_by_its_own_key_and_each_key_otherwise():
    images = jnp.broadcast_to(jax.random.uniform(jax.random.key(2), (8, 8, 3)), (3, 8, 8, 3))
    run = jax.jit(augment.standard)
    one, again, other = (np.asarray(run(jax.random.key(seed), images)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() and (one[0] != one[1]).any()
