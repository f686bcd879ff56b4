"""Pretrained weights from a safetensors file.

A tensor's name in the file is its path in the parameters joined by dots, such as
``conv1.kernel`` or ``layer1.block0.bn1.mean``.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from dg_jax import errors

MOST_BYTES = 512 * 2**20  # more than AlexNet has, the largest network here
_LONGEST_HEADER = 2**20  # far more than a ResNet-50 needs

CONVERTERS = {
    "alexnet": "third_party/torchvision_alexnet/convert.py",
    "resnet18": "third_party/torchvision_resnet/convert.py",
    "resnet50": "third_party/torchvision_resnet/convert.py",
}


def named_arrays(module: nnx.Module) -> dict[str, nnx.Variable]:
    """Returns a module's parameters and statistics by their names in a weights file.

    Example:
        >>> from dg_jax import models
        >>> network = nnx.eval_shape(lambda: models.SmallCNN(8, rngs=nnx.Rngs(0)))
        >>> named_arrays(network)["dense.kernel"].shape
        (128, 8)
    """
    state = nnx.state(module, (nnx.Param, nnx.BatchStat))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def check_size(path: pathlib.Path) -> None:
    """Raises a ``UserError`` if a file cannot be read, or is too large for the weights of any network here."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise errors.UserError(f"{path} cannot be read: it is not a regular file")
    if size > MOST_BYTES:
        raise errors.UserError(f"{path}: {size} bytes, but no network here has more than {MOST_BYTES} of weights")


def identify(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a weights file; raises a ``UserError`` if it cannot be read or is too large."""
    check_size(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read: {error.strerror}") from error


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a safetensors file.

    Returns:
        Its tensors by name, and its metadata.

    Raises:
        UserError: it cannot be read, is not a safetensors file, is cut off, is larger than
            512 MiB, has a header larger than 1 MiB, or holds a tensor of a type that NumPy lacks.
    """
    if not path.is_file():
        raise errors.UserError(f"{path}: there is no such file")
    check_size(path)
    tensors = {}
    try:
        with path.open("rb") as whole:
            header = int.from_bytes(whole.read(8), "little")
        if header > _LONGEST_HEADER:  # parsing a million empty tensors takes too long and too much memory
            raise errors.UserError(f"{path} is not a whole safetensors file: its header would have {header} bytes")
        with safetensors.safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                try:
                    tensors[name] = file.get_tensor(name)
                except (TypeError, AttributeError) as error:
                    dtype = file.get_slice(name).get_dtype()
                    raise errors.UserError(f"{path}: tensor {name!r} is {dtype}, not float32") from error
            return tensors, file.metadata() or {}
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read: {error}") from error
    except safetensors.SafetensorError as error:
        raise errors.UserError(f"{path} is not a whole safetensors file: {error}") from error


def metadata(path: pathlib.Path) -> dict[str, str]:
    """Reads only the metadata, of a file that :func:`read` can read."""
    with safetensors.safe_open(path, framework="np") as file:
        return file.metadata() or {}


def write(path: pathlib.Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    # safetensors writes an array's memory as it is and ignores the strides.
    data = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # another process may write the same
    try:
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise errors.UserError(f"{path} cannot be written: {error.strerror}") from error


def check(
    path: pathlib.Path, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], advice: str
) -> None:
    """Raises a ``UserError`` unless ``tensors`` have exactly the names and shapes of ``shapes``, float32 and finite.

    The message names the tensor. It begins with ``path`` and ends with ``advice``.
    """
    for name in sorted(shapes.keys() - tensors.keys()):
        raise errors.UserError(f"{path}: there is no tensor {name!r}{advice}")
    for name in sorted(tensors.keys() - shapes.keys()):
        raise errors.UserError(f"{path}: unexpected tensor {name!r}{advice}")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise errors.UserError(f"{path}: tensor {name!r} has shape {tensor.shape}, not {shape}{advice}")
        if tensor.dtype != np.float32:
            raise errors.UserError(f"{path}: tensor {name!r} is {tensor.dtype}, not float32{advice}")
        if not np.isfinite(tensor).all():
            raise errors.UserError(f"{path}: tensor {name!r} has values that are NaN or infinite{advice}")


def load(path: pathlib.Path, model: str, module: nnx.Module, last_layer: str, scope: str = "all") -> list[str]:
    """Loads a network's parameters and statistics from a file, except those of its last layer.

    The last layer keeps its fresh weights: the file may hold it for any number of classes,
    or not at all.

    Args:
        path: a safetensors file. If its metadata names a ``model``, it must be this one.
        model: the network's name in ``MODELS``.
        module: the network, changed in place.
        last_layer: the name of its last layer.
        scope: ``"all"``, or ``"features"`` to keep the fresh weights of all dense layers. A file whose metadata has
            the ``scope`` ``"features"`` is always loaded this way; a warning names the other dense layers.

    Returns:
        The names of the loaded layers.

    Raises:
        UserError: the file cannot be read or belongs to another network; a tensor is missing,
            unexpected, of another shape, not float32 or not finite.
    """
    converter = CONVERTERS.get(model)
    advice = f"; {converter} makes such a file from the published weights" if converter else ""
    if model == "mlp":
        advice = "; --hidden-layers has to be that of the network in the file"
    try:
        tensors, metadata = read(path)
    except errors.UserError as error:
        raise errors.UserError(f"{error}{advice}") from error
    other = metadata.get("model", model)
    if other != model:
        raise errors.UserError(f"{path}: these are weights of {other!r}, not of {model}{advice}")
    if converter and any(name.endswith(".weight") for name in tensors):
        raise errors.UserError(f"{path}: the tensors have PyTorch's names; convert the file with {converter}")
    has_features_only = metadata.get("scope") == "features"
    arrays = named_arrays(module)
    takes_features = scope == "features" or has_features_only
    fresh = {name for name in arrays if name.startswith("dense" if takes_features else f"{last_layer}.")}
    variables = {name: variable for name, variable in arrays.items() if name not in fresh}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    if scope == "features" and not variables:
        raise errors.UserError(f"--weights-scope=features: {model} has only dense layers; leave it out")
    others = {name.partition(".")[0] for name in fresh} - {last_layer}
    if has_features_only and scope == "all" and others:
        errors.warn(f"{path} holds only the convolutions of {model}; fresh weights: {', '.join(sorted(others))}")
    check(path, tensors, {name: variable.shape for name, variable in variables.items()}, advice)
    for name, variable in variables.items():
        variable[...] = jnp.asarray(tensors[name])
    return list(dict.fromkeys(name.partition(".")[0] for name in variables))
