"""Random augmentation of training images, standard in domain generalization, inside the compiled step."""

import math

import chex
import jax
import jax.numpy as jnp

AREA = (0.7, 1.0)  # of the crop, as a fraction of the image
RATIO = (3 / 4, 4 / 3)  # width over height of the crop
JITTER = 0.3
GREY = 0.1  # fraction of images that become grey
_TRIES = 10
_LUMINANCE = (0.2989, 0.587, 0.114)


def standard(key: chex.PRNGKey, images: chex.Array) -> chex.Array:
    """Augments each image as DomainBed does: random crop, flip, colour jitter and grey.

    A crop of 70% to 100% of the area is resized to the whole; half of the images are flipped left to right;
    brightness, contrast and saturation are scaled by up to 30% and the hue is turned by up to 0.3 of its circle,
    in random order; a tenth of the images become grey.

    Args:
        key: PRNG key.
        images: ``[..., H, W, 3]`` in [0, 1].

    Returns:
        Images of the same shape, in [0, 1].

    Reference:
        ``DomainBed/domainbed/datasets.py`` (Gulrajani and Lopez-Paz, "In search of lost domain generalization",
        ICLR 2021, https://arxiv.org/abs/2007.01434): torchvision's RandomResizedCrop(scale=(0.7, 1)),
        RandomHorizontalFlip, ColorJitter(0.3, 0.3, 0.3, 0.3) and RandomGrayscale.
    """
    leading, change = images.shape[:-3], _change
    for _ in leading:
        change = jax.vmap(change)
    return change(jax.random.split(key, leading), images)


def _change(key: chex.PRNGKey, image: chex.Array) -> chex.Array:
    crop, flip, jitter, grey = jax.random.split(key, 4)
    image = resized_crop(image, *draw_crop(crop, *image.shape[:2]))
    image = jnp.where(jax.random.bernoulli(flip), image[:, ::-1], image)
    image = _jitter(jitter, image)
    return jnp.where(jax.random.bernoulli(grey, GREY), jnp.broadcast_to(_grey(image), image.shape), image)


def draw_crop(key: chex.PRNGKey, height: int, width: int) -> tuple[chex.Array, ...]:
    """Draws a crop: top, left, height and width in pixels, whole numbers.

    Area and ratio are drawn ten times. The first crop that fits into the image counts; if none fits, the whole image.
    """
    of_area, of_ratio, of_place = jax.random.split(key, 3)
    area = height * width * jax.random.uniform(of_area, (_TRIES,), minval=AREA[0], maxval=AREA[1])
    low, high = map(math.log, RATIO)
    ratio = jnp.exp(jax.random.uniform(of_ratio, (_TRIES,), minval=low, maxval=high))
    widths, heights = jnp.round(jnp.sqrt(area * ratio)), jnp.round(jnp.sqrt(area / ratio))
    fits = (widths <= width) & (heights <= height)
    first, any_fits = jnp.argmax(fits), jnp.any(fits)
    crop_height = jnp.where(any_fits, heights[first], height)
    crop_width = jnp.where(any_fits, widths[first], width)
    place = jax.random.uniform(of_place, (2,))
    top = jnp.floor(place[0] * (height - crop_height + 1))
    left = jnp.floor(place[1] * (width - crop_width + 1))
    return top, left, crop_height, crop_width


def resized_crop(image: chex.Array, top, left, crop_height, crop_width) -> chex.Array:
    """Resizes a crop of an image ``[H, W, 3]`` bilinearly to ``[H, W, 3]``; the other arguments are in pixels."""
    height, width = image.shape[:2]
    scale = jnp.stack([height / crop_height, width / crop_width])
    return jax.image.scale_and_translate(
        image, image.shape, (0, 1), scale, -jnp.stack([top, left]) * scale, "linear", antialias=False
    )


def _jitter(key: chex.PRNGKey, image: chex.Array) -> chex.Array:
    order, factors, turn = jax.random.split(key, 3)
    brightness, contrast, saturation = jax.random.uniform(factors, (3,), minval=1 - JITTER, maxval=1 + JITTER)
    angle = jax.random.uniform(turn, minval=-JITTER, maxval=JITTER)
    changes = [
        lambda image: _blend(image, 0.0, brightness),
        lambda image: _blend(image, jnp.mean(_grey(image)), contrast),
        lambda image: _blend(image, _grey(image), saturation),
        lambda image: turn_hue(image, angle),
    ]
    places = jax.random.permutation(order, len(changes))
    return jax.lax.fori_loop(0, len(changes), lambda i, image: jax.lax.switch(places[i], changes, image), image)


def _blend(image: chex.Array, other: chex.Numeric, factor: chex.Array) -> chex.Array:
    return jnp.clip(factor * image + (1 - factor) * other, 0, 1)


def _grey(image: chex.Array) -> chex.Array:
    return jnp.sum(image * jnp.array(_LUMINANCE), axis=-1, keepdims=True)


def turn_hue(image: chex.Array, angle: chex.Numeric) -> chex.Array:
    """Turns the hue of an image ``[..., 3]`` in [0, 1]; ``angle`` is a fraction of the whole circle."""
    value, low = jnp.max(image, -1), jnp.min(image, -1)
    spread = value - low
    red, green, blue = jnp.moveaxis(image, -1, 0)
    of_sixth = jnp.where(
        value == red, (green - blue), jnp.where(value == green, (blue - red), (red - green))
    ) / jnp.where(spread > 0, spread, 1)
    start = jnp.where(value == red, 0, jnp.where(value == green, 2, 4))
    hue = (of_sixth + start) / 6 + angle
    # Over the hue circle each channel is a trapezoid, a third of the circle apart from the others.
    away = (hue[..., None] * 6 + jnp.array([5.0, 3.0, 1.0])) % 6
    return value[..., None] - spread[..., None] * jnp.clip(jnp.minimum(away, 4 - away), 0, 1)
