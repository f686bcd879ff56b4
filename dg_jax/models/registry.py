"""The networks by name."""

import chex
from flax import nnx

from dg_jax import errors
from dg_jax.models import functional
from dg_jax.models.alexnet import AlexNet
from dg_jax.models.small_cnn import SmallCNN

MODELS = {"alexnet": AlexNet, "small_cnn": SmallCNN}
SMALLEST_IMAGE = {"alexnet": 63, "small_cnn": 1}


def create(name: str, num_classes: int, key: chex.PRNGKey) -> tuple[chex.ArrayTree, functional.ApplyFn]:
    """Builds the network called ``name`` with fresh weights drawn from ``key``.

    Returns:
        ``(params, apply_fn)``, see :func:`dg_jax.models.split`.

    Raises:
        KeyError: there is no such network.
    """
    return functional.split(MODELS[name](num_classes, rngs=nnx.Rngs(key)))


def check(name: str, image_size: int) -> None:
    """Raises a ``UserError`` if there is no such network or the images are too small for it."""
    if name not in MODELS:
        raise errors.unknown("model", name, MODELS)
    if image_size < SMALLEST_IMAGE[name]:
        raise errors.UserError(f"--image-size={image_size}: {name} needs at least {SMALLEST_IMAGE[name]}")
