"""Converts torchvision's ResNet weights: ``convert.py resnet18-f37072fd.pth resnet18.safetensors``."""

import pathlib
import re

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

import numpy as np

from dg_jax.models import torch_weights


def torch_layer(layer: str) -> str:
    """Returns torchvision's name of a layer."""
    layer = re.sub(r"\.block(\d+)", r".\1", layer)
    layer = layer.replace(".shortcut_conv", ".0.downsample.0").replace(".shortcut_bn", ".0.downsample.1")
    return "fc" if layer == "dense" else layer


def convert(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the network's name, found by the tensors, and its tensors under our names."""
    model = "resnet50" if "layer1.0.conv3.weight" in tensors else "resnet18"
    # The number of batches that the statistics saw: nothing is computed from it.
    tensors = {name: array for name, array in tensors.items() if not name.endswith(".num_batches_tracked")}
    return model, torch_weights.rename(path, tensors, model, torch_layer)


if __name__ == "__main__":
    raise SystemExit(torch_weights.main(convert))
