"""The networks by name."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import chex
from flax import nnx

from dg_jax import errors
from dg_jax.models import functional
from dg_jax.models import weights as weights_files
from dg_jax.models.alexnet import AlexNet
from dg_jax.models.efficientnet import EfficientNetLite0
from dg_jax.models.mlp import MLP
from dg_jax.models.mnist_cnn import MnistCNN
from dg_jax.models.resnet import ResNet18, ResNet50
from dg_jax.models.small_cnn import SmallCNN
from dg_jax.models.squeezenet import SqueezeNet
from dg_jax.reading import names

MODELS: dict[str, Any] = {
    "alexnet": AlexNet,
    "efficientnet_lite0": EfficientNetLite0,
    "mlp": MLP,
    "mnist_cnn": MnistCNN,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "small_cnn": SmallCNN,
    "squeezenet": SqueezeNet,
}
SMALLEST_IMAGE = dict.fromkeys(MODELS, 1) | {"alexnet": 63, "squeezenet": 31}


def create(
    name: str,
    num_classes: int,
    key: chex.PRNGKey,
    weights: pathlib.Path | None = None,
    dtype: str = "float32",
    shape: Sequence[int] = (18,),
    weights_scope: str = "all",
    hidden_layers: int = 3,
    frozen_layers: Sequence[str] = (),
) -> tuple[chex.ArrayTree, functional.Pure]:
    """Builds the network called ``name`` with fresh weights drawn from ``key``.

    Args:
        weights: a safetensors file that all layers but the last are taken from, see
            :func:`dg_jax.models.weights.load`.
        dtype: what the network computes in, ``"float32"`` or ``"bfloat16"``; its parameters
            are always float32.
        weights_scope: which layers are taken from this file, ``"all"`` or ``"features"``.
        shape: shape of an example; only ``"mlp"`` and ``"mnist_cnn"`` use it.
        hidden_layers: how many ``"mlp"`` has.
        frozen_layers: the layers that will keep their weights from this file; only their names are checked.

    Returns:
        ``(params, apply_fn)``, see :func:`dg_jax.models.split`. BatchNorm statistics
        come from ``weights`` and are part of ``apply_fn``.

    Raises:
        KeyError: there is no such network.
        UserError: ``weights`` is not a file of this network's weights, or has not the layers to freeze.
    """
    rngs = nnx.Rngs(key)
    sizes = {
        "mlp": {"inputs": math.prod(shape), "hidden_layers": hidden_layers},
        "mnist_cnn": {"channels": shape[-1]},
    }
    module = MODELS[name](num_classes, **sizes.get(name, {}), rngs=rngs)
    loaded = weights_files.load(weights, name, module, module.last_layer, weights_scope) if weights is not None else []
    fresh = [layer for layer in frozen_layers if layer not in loaded]
    if fresh:
        raise errors.UserError(
            f"--frozen-layers {' '.join(map(repr, fresh))}: no such layer of {name} has pretrained weights; there are: "
            f"{', '.join(loaded) or 'none'}"
        )
    params, apply_fn = functional.split(module)
    return params, apply_fn if dtype == "float32" else functional.computing_in(apply_fn, dtype)


def check(name: str, image_size: int) -> None:
    """Raises a ``UserError`` if there is no such network or the images are too small for it."""
    if name not in MODELS:
        raise names.unknown("model", name, MODELS)
    if image_size < SMALLEST_IMAGE[name]:
        raise errors.UserError(f"--image-size={image_size}: {name} needs at least {SMALLEST_IMAGE[name]}")
