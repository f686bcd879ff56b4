"""AlexNet and SmallCNN in PyTorch, with parameters carried over from ours."""

import chex
import numpy as np
import torch
from torch import nn

from dg_jax import models


class AlexNet(nn.Module):
    """The one-tower variant: five convolutions, three dense layers, dropout before the first two."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 11, 4, 2)
        self.conv2 = nn.Conv2d(64, 192, 5, 1, 2)
        self.conv3 = nn.Conv2d(192, 384, 3, 1, 1)
        self.conv4 = nn.Conv2d(384, 256, 3, 1, 1)
        self.conv5 = nn.Conv2d(256, 256, 3, 1, 1)
        self.dense1 = nn.Linear(256 * 6 * 6, 4096)
        self.dense2 = nn.Linear(4096, 4096)
        self.dense3 = nn.Linear(4096, num_classes)
        self.pool = nn.MaxPool2d(3, 2)
        self.average_pool = nn.AdaptiveAvgPool2d(6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.conv1(images).relu())
        x = self.pool(self.conv2(x).relu())
        x = self.conv4(self.conv3(x).relu()).relu()
        x = self.average_pool(self.pool(self.conv5(x).relu())).flatten(1)
        x = self.dense1(self.dropout(x)).relu()
        return self.dense3(self.dense2(self.dropout(x)).relu())


class SmallCNN(nn.Module):
    """Three convolutions of stride 2, a mean over space, one dense layer."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 2, 1)
        self.conv3 = nn.Conv2d(64, 128, 3, 2, 1)
        self.dense = nn.Linear(128, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.conv3(self.conv2(self.conv1(images).relu()).relu()).relu()
        return self.dense(x.mean((2, 3)))


NETWORKS = {"alexnet": AlexNet, "small_cnn": SmallCNN}


def torch_layout(params: chex.ArrayTree) -> dict[str, np.ndarray]:
    """Returns our parameters, or arrays of the same shapes, under PyTorch's names and in its order of axes.

    Args:
        params: ``{layer: {"kernel": …, "bias": …}}``; the layers have the same names in both.
    """
    arrays = {}
    for layer, leaves in params.items():
        kernel = np.asarray(leaves["kernel"])
        if layer == "dense1":  # ours flattens as (row, column, channel), PyTorch as (channel, row, column)
            kernel = kernel.reshape(6, 6, 256, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        arrays[f"{layer}.weight"] = np.ascontiguousarray(kernel.transpose(order))
        arrays[f"{layer}.bias"] = np.array(leaves["bias"])
    return arrays


def create(model: str, params: chex.ArrayTree, device: torch.device) -> nn.Module:
    """Builds a network with a copy of our parameters."""
    arrays = torch_layout(params)
    num_classes = len(params[models.MODELS[model].last_layer]["bias"])
    with torch.device("meta"):  # draws no weights, which would not be used
        network = NETWORKS[model](num_classes)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True)
    return network.to(device)
