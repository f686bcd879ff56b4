"""The networks by name."""

import chex
from flax import nnx

from dg_jax.models import functional
from dg_jax.models.alexnet import AlexNet
from dg_jax.models.small_cnn import SmallCNN

MODELS = {"alexnet": AlexNet, "small_cnn": SmallCNN}
SMALLEST_IMAGE = {"alexnet": 63, "small_cnn": 8}


def create(name: str, num_classes: int, key: chex.PRNGKey) -> tuple[chex.ArrayTree, functional.ApplyFn]:
    """Builds the network called ``name`` with fresh weights drawn from ``key``.

    Returns:
        ``(params, apply_fn)``, see :func:`dg_jax.models.split`.

    Raises:
        KeyError: there is no such network.
    """
    return functional.split(MODELS[name](num_classes, rngs=nnx.Rngs(key)))
