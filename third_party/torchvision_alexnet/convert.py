"""Converts torchvision's AlexNet weights: ``convert.py alexnet-owt-7be5be79.pth alexnet.safetensors``."""

import pathlib

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

import numpy as np

from dg_jax.models import torch_weights

LAYERS = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "dense1": "classifier.1",
    "dense2": "classifier.4",
    "dense3": "classifier.6",
}


def convert(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns the network's name and its tensors under our names."""
    converted = torch_weights.rename(path, tensors, "alexnet", LAYERS.__getitem__)
    # PyTorch flattens the last feature map as (channel, row, column), we as (row, column, channel).
    by_channel = converted["dense1.kernel"].reshape(256, 6, 6, 4096)
    converted["dense1.kernel"] = by_channel.transpose(1, 2, 0, 3).reshape(6 * 6 * 256, 4096)
    return "alexnet", converted


if __name__ == "__main__":
    raise SystemExit(torch_weights.main(convert))
