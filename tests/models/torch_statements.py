"""Reference networks in PyTorch, as functions of arrays under the names of dg_jax."""

import math

import numpy as np
import pytest

from dg_jax import imagenet

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")

from torch.nn import functional  # noqa: E402


def pixels(images):
    """Pixels from 0 to 255, ``[B, 3, H, W]``, of normalised images ``[B, H, W, 3]``."""
    mean, std = (torch.tensor(values, dtype=images.dtype) for values in (imagenet.MEAN, imagenet.STD))
    return (255 * (images * std + mean)).permute(0, 3, 1, 2)


def convolve(x, arrays, name, **options):
    return functional.conv2d(x, arrays[f"{name}.kernel"].permute(3, 2, 0, 1), arrays.get(f"{name}.bias"), **options)


def dense(x, arrays):
    return x @ arrays["dense.kernel"] + arrays["dense.bias"]


def squeezenet(arrays, images):
    def fire(x, name):
        x = convolve(x, arrays, f"{name}.squeeze").relu()
        sides = convolve(x, arrays, f"{name}.expand1"), convolve(x, arrays, f"{name}.expand3", padding=1)
        return torch.cat(sides, 1).relu()

    x = pixels(images).flip(1) - torch.tensor([103.939, 116.779, 123.68], dtype=images.dtype).view(3, 1, 1)
    x = functional.max_pool2d(convolve(x, arrays, "conv1", stride=2).relu(), 3, 2)
    for number in range(2, 10):
        x = fire(x, f"fire{number}")
        if number in (3, 5):
            x = functional.max_pool2d(x, 3, 2)
    return dense(x.mean((2, 3)), arrays)


def efficientnet_lite0(arrays, images):
    def same(x, size, stride):
        needed = [max((math.ceil(extent / stride) - 1) * stride + size - extent, 0) for extent in x.shape[:1:-1]]
        return functional.pad(x, [zeros for whole in needed for zeros in (whole // 2, whole - whole // 2)])

    def normalised(x, name, stride=1):
        size = arrays[f"{name}.kernel"].shape[0]
        groups = x.shape[1] if name.endswith("depthwise") else 1
        x = convolve(same(x, size, stride), arrays, name, stride=stride, groups=groups)
        mean, var, scale, bias = (arrays[f"{name}.bn.{leaf}"] for leaf in ("mean", "var", "scale", "bias"))
        return functional.batch_norm(x, mean, var, scale, bias, eps=1e-3)

    strides = {1: 2, 3: 2, 5: 2, 11: 2}  # the blocks that halve the extent
    x = functional.relu6(normalised((pixels(images) - 127) / 128, "stem", 2))
    for number in range(16):
        name, y = f"block{number}", x
        if number:
            y = functional.relu6(normalised(y, f"{name}.expand"))
        y = functional.relu6(normalised(y, f"{name}.depthwise", strides.get(number, 1)))
        y = normalised(y, f"{name}.project")
        x = x + y if x.shape == y.shape else y
    return dense(functional.relu6(normalised(x, "top")).mean((2, 3)), arrays)


def mnist_cnn(arrays, images):
    x = images.permute(0, 3, 1, 2)
    for i in range(1, 5):
        x = convolve(x, arrays, f"conv{i}", stride=2 if i == 2 else 1, padding=1).relu()
        x = functional.group_norm(x, 8, arrays[f"norm{i}.scale"], arrays[f"norm{i}.bias"])
    return dense(x.mean((2, 3)), arrays)


def logits_and_gradients(network, arrays, images):
    """Logits, and the gradient of the cross-entropy for every parameter, by name; in float64."""
    tensors = {name: torch.tensor(np.asarray(array, np.float64)) for name, array in arrays.items()}
    parameters = {name: tensor for name, tensor in tensors.items() if not name.endswith((".mean", ".var"))}
    for tensor in parameters.values():
        tensor.requires_grad_()
    logits = network(tensors, torch.from_numpy(np.asarray(images, np.float64)))
    functional.cross_entropy(logits, torch.arange(len(images))).backward()
    return logits.detach().numpy(), {name: tensor.grad.numpy() for name, tensor in parameters.items()}
