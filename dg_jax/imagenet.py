"""ImageNet's normalisation of images, and the way back for networks that were trained on another one."""

import chex
import jax.numpy as jnp

# Mean and standard deviation of the RGB channels, for images in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalised(images: chex.Array) -> chex.Array:
    """Normalises images ``[..., 3]`` in [0, 1] to mean 0 and standard deviation 1 over ImageNet."""
    mean, deviation = _channels(images)
    return (images - mean) / deviation


def pixels(images: chex.Array) -> chex.Array:
    """Turns normalised images ``[..., 3]`` back into [0, 255], for networks that were trained on another normalisation.

    Example:
        >>> import numpy as np
        >>> print(pixels(normalised(np.full((1, 1, 3), 0.2))).round(2))
        [[[51. 51. 51.]]]
    """
    mean, deviation = _channels(images)
    return (images * deviation + mean) * 255


def _channels(images: chex.Array) -> tuple[chex.Array, ...]:
    channels = (1,) * (images.ndim - 1) + (3,)
    return tuple(jnp.array(values, images.dtype).reshape(channels) for values in (MEAN, STD))
