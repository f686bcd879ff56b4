"""Conversion of torchvision's published weights, for the programs ``third_party/torchvision_*/convert.py``."""

import argparse
import contextlib
import hashlib
import pathlib
import pickle
import re
import resource
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from flax import nnx

from dg_jax import errors
from dg_jax.models import registry, weights

NUM_CLASSES = 1000  # of ImageNet
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

# (file, its tensors under torchvision's names) -> (name of the network, its tensors under our names)
Convert = Callable[[pathlib.Path, dict[str, np.ndarray]], tuple[str, dict[str, np.ndarray]]]


def checked_digest(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits.

    Raises:
        UserError: the file cannot be read. Or its name ends in ``-`` and 8 hexadecimal
            digits, as torchvision's names do, but its SHA-256 does not begin with them.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read: {error.strerror}") from error
    promised = re.search(r"-([0-9a-f]{8})$", path.stem)
    if promised and not digest.startswith(promised[1]):
        raise errors.UserError(
            f"{path}: its SHA-256 begins with {digest[:8]}, not with {promised[1]} as its name says; download it again"
        )
    return digest


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a PyTorch state dict (``.pth``) or of a safetensors file (``.safetensors``).

    A ``.pth`` file is a pickle. PyTorch's restricted loader reads tensors and plain
    containers from it and refuses anything else, so no code in it runs.

    Raises:
        UserError: the file is neither, cannot be read, is damaged, or holds anything but
            tensors; or PyTorch is not installed.
    """
    if path.suffix == ".safetensors":
        return weights.read(path)[0]
    if path.suffix != ".pth":
        raise errors.UserError(f"{path}: neither a .pth nor a .safetensors file; give torchvision's published file")
    try:
        import torch
    except ImportError as error:
        raise errors.UserError(f'{path}: a .pth file needs PyTorch; pip install -e ".[convert]"') from error
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > weights.MOST_BYTES:
                raise ValueError("unpacked, it would be larger than any network here")
        with _little_memory(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns about is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise errors.UserError(
            f"{path}: not a PyTorch file of tensors only; nothing in it was run; download it again"
        ) from error
    except Exception as error:  # a damaged pickle can raise almost any of them
        raise errors.UserError(f"{path}: a damaged PyTorch file ({type(error).__name__}); download it again") from error
    if not isinstance(state, dict):
        raise errors.UserError(f"{path}: holds a {type(state).__name__}, not a dict of tensors")
    tensors = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise errors.UserError(f"{path}: {name!r} is a {type(value).__name__}; a dict of tensors only is needed")
        if value.is_meta:
            raise errors.UserError(f"{path}: tensor {name!r} has a shape, but no numbers")
        try:
            tensors[name] = value.detach().numpy()
        except (TypeError, RuntimeError) as error:  # bfloat16, quantized, sparse, ...
            kind = f"{value.dtype}, {value.layout}".replace("torch.", "")
            raise errors.UserError(f"{path}: tensor {name!r} is {kind}, not float32, strided") from error
    return tensors


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Limits this process to 1 GiB more memory than it has now, if Linux can say how much it has.

    A pickle of a few bytes can ask for any amount.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = pathlib.Path("/proc/self/statm")
    if taken.exists() and before == resource.RLIM_INFINITY:
        pages = int(taken.read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def rename(
    path: pathlib.Path, tensors: dict[str, np.ndarray], model: str, torch_layer: Callable[[str], str]
) -> dict[str, np.ndarray]:
    """Checks the tensors of a torchvision network and gives them our names and our order of axes.

    Convolutions go from ``[out, in, height, width]`` to ``[height, width, in, out]``,
    dense layers from ``[out, in]`` to ``[in, out]``.

    Args:
        path: where the tensors come from, for errors.
        tensors: float32, under torchvision's names, with ImageNet's 1000 classes.
        model: the network's name in ``MODELS``.
        torch_layer: turns our name of a layer into torchvision's.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape, not float32 or not finite.
    """
    network = nnx.eval_shape(lambda: registry.MODELS[model](NUM_CLASSES, rngs=nnx.Rngs(0)))
    theirs, shapes = {}, {}
    for name, variable in weights.named_arrays(network).items():
        layer, _, leaf = name.rpartition(".")
        theirs[name] = f"{torch_layer(layer)}.{_LEAVES[leaf]}"
        shape = variable.shape
        shapes[theirs[name]] = (*shape[:1:-1], *shape[:2]) if len(shape) == 4 else shape[::-1]
    weights.check(path, tensors, shapes, f"; torchvision's {model} is needed")
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return {name: tensors[source].transpose(order[tensors[source].ndim]) for name, source in theirs.items()}


def main(convert: Convert, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line ``convert.py SOURCE TARGET`` and returns its exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(description="Converts weights that torchvision publishes for --weights.")
    parser.add_argument("source", type=pathlib.Path, help="torchvision's .pth file, or .safetensors of the same names")
    parser.add_argument("target", type=pathlib.Path, help="the .safetensors file to write")
    options = parser.parse_args(arguments)
    try:
        weights.check_size(options.source)
        digest = checked_digest(options.source)
        model, tensors = convert(options.source, read(options.source))
        weights.write(options.target, tensors, {"model": model, "source": options.source.name, "sha256": digest})
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(array.size for array in tensors.values())
    print(f"{options.target}: {model}, {len(tensors)} tensors, {size:,} numbers")
    return 0
