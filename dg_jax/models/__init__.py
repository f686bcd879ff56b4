"""Networks. Outside this package only ``(params, apply_fn)`` is seen."""

from dg_jax.models.alexnet import AlexNet
from dg_jax.models.efficientnet import EfficientNetLite0
from dg_jax.models.functional import ApplyFn, Pure, named, split, with_key_and_train
from dg_jax.models.mlp import MLP
from dg_jax.models.mnist_cnn import MnistCNN
from dg_jax.models.registry import MODELS, SMALLEST_IMAGE, check, create
from dg_jax.models.resnet import ResNet18, ResNet50
from dg_jax.models.small_cnn import SmallCNN
from dg_jax.models.squeezenet import SqueezeNet

__all__ = [
    "MLP",
    "MODELS",
    "SMALLEST_IMAGE",
    "AlexNet",
    "ApplyFn",
    "EfficientNetLite0",
    "MnistCNN",
    "Pure",
    "ResNet18",
    "ResNet50",
    "SmallCNN",
    "SqueezeNet",
    "check",
    "create",
    "named",
    "split",
    "with_key_and_train",
]
