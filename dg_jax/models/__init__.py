"""Networks. Outside this package only ``(params, apply_fn)`` is seen."""

from dg_jax.models.alexnet import AlexNet
from dg_jax.models.functional import ApplyFn, split
from dg_jax.models.registry import MODELS, SMALLEST_IMAGE, check, create
from dg_jax.models.resnet import ResNet18, ResNet50
from dg_jax.models.small_cnn import SmallCNN

__all__ = [
    "MODELS",
    "SMALLEST_IMAGE",
    "AlexNet",
    "ApplyFn",
    "ResNet18",
    "ResNet50",
    "SmallCNN",
    "check",
    "create",
    "split",
]
