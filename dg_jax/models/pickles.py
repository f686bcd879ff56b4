"""Reads arrays from pickles and refuses everything else, so that no code in a file is run."""

import collections
import io
import pickle
from typing import Any, BinaryIO, NamedTuple

import numpy as np

# The function that a pickled array names. Taken from an array, since NumPy has moved it to another module.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]


class _Arrays(pickle.Unpickler):
    """Admits NumPy arrays and plain containers."""

    admitted: dict[tuple[str, str], Any] = {  # noqa: RUF012 (never changed)
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Returns the object that a pickle names, if it is admitted."""
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(f"holds {module}.{name}, which is not a NumPy array; nothing in it was run")
        return self.admitted[module, name]


class _Tensor(NamedTuple):
    """A tensor whose numbers come later in the file."""

    storage: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Tensors(_Arrays):
    """Admits tensors, as PyTorch wrote them before version 1.6, and plain containers."""

    admitted = {  # noqa: RUF012 (never changed)
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *args: _Tensor(*args[:4]),
        ("torch", "FloatStorage"): np.float32,
        ("torch", "LongStorage"): np.int64,
    }

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, type] = {}

    def persistent_load(self, saved: tuple) -> str:
        """Notes the dtype of a tensor's numbers, and returns the key of their storage."""
        _, dtype, key, *_ = saved
        self.dtypes[key] = dtype
        return key


def read_arrays(data: bytes) -> Any:
    """Returns what was pickled: NumPy arrays, text and numbers, in dicts, lists and tuples.

    Raises:
        pickle.UnpicklingError: the pickle holds anything else.
    """
    return _Arrays(io.BytesIO(data)).load()


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict in the format that PyTorch wrote before version 1.6, by their names.

    Such a file is five pickles (a magic number, the version, the sizes of types, the dict, the keys of its storages)
    and then for each storage the number of its entries and the entries.

    Raises:
        pickle.UnpicklingError: the file holds anything but tensors of float32 and int64.
    """
    file = io.BytesIO(data)
    for _ in range(3):
        _Arrays(file).load()
    unpickler = _Tensors(file)
    tensors = unpickler.load()
    storages = {}
    for key in _Arrays(file).load():
        dtype = np.dtype(unpickler.dtypes[key]).newbyteorder("<")
        entries = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(entries * dtype.itemsize), dtype)
    return {name: _strided(storages[tensor.storage], tensor) for name, tensor in tensors.items()}


def _strided(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    strides = tuple(step * storage.itemsize for step in tensor.stride)
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides).copy()
