"""AlexNet and ResNet in PyTorch with torchvision's parameter names, and the comparison with those of dg_jax."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from flax import nnx

from dg_jax import models
from dg_jax.models import weights
from tests import quick

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")

from torch import nn  # noqa: E402

THIRD_PARTY = pathlib.Path(__file__).parents[2] / "third_party"


def load_converter(name):
    """Imports ``third_party/NAME/convert.py``."""
    spec = importlib.util.spec_from_file_location(f"convert_{name}", THIRD_PARTY / name / "convert.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, 1, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class Block(nn.Module):
    """Convolutions ``(size, stride, outputs)``, each followed by a BatchNorm, plus a shortcut."""

    def __init__(self, inputs, convolutions):
        super().__init__()
        self.depth = len(convolutions)
        channels, strides = inputs, 1
        for i, (size, stride, outputs) in enumerate(convolutions, 1):
            self.add_module(f"conv{i}", nn.Conv2d(channels, outputs, size, stride, size // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
            channels, strides = outputs, strides * stride
        self.downsample = None
        if strides != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, strides, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            if i < self.depth:
                y = y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self, depths, bottleneck):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, depth in enumerate(depths):
            blocks, width = [], 64 * 2**i
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                if bottleneck:
                    convolutions = [(1, 1, width), (3, stride, width), (1, 1, 4 * width)]
                else:
                    convolutions = [(3, stride, width), (3, 1, width)]
                blocks.append(Block(inputs, convolutions))
                inputs = convolutions[-1][2]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


NETWORKS = {
    "alexnet": AlexNet,
    "resnet18": lambda: ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), bottleneck=True),
}


def random_network(name):
    """Returns a network in evaluation mode; every layer matters: activations and logits are of the order of 1."""
    generator = torch.Generator().manual_seed(0)
    network = NETWORKS[name]()
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            normal = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(normal * (1.5 / parameter[0].numel()) ** 0.5)
            elif parameter_name.endswith("bias"):
                parameter.copy_(0.1 * normal)
            else:
                parameter.copy_(0.25 + 0.05 * normal)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics become those of this one batch
        network.train()(torch.randn(32, 3, 64, 64, generator=generator))
    return network.eval()


def converted(name, converter, folder):
    """Returns a random PyTorch network, and the one of dg_jax with its weights, converted by the command line."""
    network = random_network(name)
    source, target = folder / f"{name}.pth", folder / f"{name}.safetensors"
    torch.save(network.state_dict(), source)
    assert converter.torch_weights.main(converter.convert, [str(source), str(target)]) == 0
    # All its arrays come from the file, so none are drawn: that is slow.
    module = nnx.eval_shape(lambda: models.MODELS[name](1000, rngs=nnx.Rngs(0)))
    nnx.update(module, jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), nnx.state(module)))
    weights.load(target, name, module, module.last_layer)
    with safetensors.safe_open(target, framework="np") as file:
        for leaf in ("kernel", "bias"):
            getattr(getattr(module, module.last_layer), leaf)[...] = file.get_tensor(f"{module.last_layer}.{leaf}")
    return network, module


def some_images(size, batch):
    return np.random.default_rng(size).normal(size=(batch, size, size, 3)).astype(np.float32)


def logits_difference(network, module, images):
    """Returns the largest difference of the logits, computed in float32."""
    with torch.no_grad():
        expected = network.float()(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    assert 0.3 < expected.std() < 3
    params, apply_fn = models.split(module)
    return np.abs(quick.jit(apply_fn)(params, images) - expected).max()


def gradient_differences(network, module, images, converter):
    """Returns the largest difference of each parameter's gradient, divided by the gradient's largest entry.

    Computed in float64: in float32 the two round differently, and some ReLUs are on in one network and off in the
    other. That is a difference, but no error.
    """
    labels = np.arange(len(images))
    network.double().zero_grad()
    logits = network(torch.from_numpy(images.transpose(0, 3, 1, 2)).double())
    nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    gradients = {name: parameter.grad.float().numpy() for name, parameter in network.named_parameters()}
    # The converter reads gradients like parameters. Statistics have no gradient; their values fill the gaps.
    statistics = {name: buffer.float().numpy() for name, buffer in network.named_buffers()}
    _, expected = converter.convert(pathlib.Path("gradients"), gradients | statistics)

    with jax.enable_x64(True):
        state = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), nnx.state(module))
        params, apply_fn = models.split(nnx.merge(nnx.graphdef(module), state))

        def loss(params):
            logits = apply_fn(params, images.astype(np.float64))
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        ours = jax.tree.map(np.asarray, quick.jit(jax.grad(loss))(params))
    differences = {}
    for path, gradient in jax.tree.leaves_with_path(ours):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        assert gradient.dtype == np.float64
        assert np.abs(expected[name]).max() > 1e-6
        differences[name] = np.abs(gradient - expected[name]).max() / np.abs(expected[name]).max()
    assert len(differences) == len(gradients)
    return differences
