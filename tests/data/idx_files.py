"""Files in MNIST's format that hold noise."""

import functools
import struct

import numpy as np


@functools.cache
def contents():
    """File name -> bytes; the labels run through the ten classes."""
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        pixels = rng.integers(0, 256, count * 28 * 28, dtype=np.uint8).tobytes()
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">4i", 2051, count, 28, 28) + pixels
        labels = (np.arange(count) % 10).astype(np.uint8).tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">2i", 2049, count) + labels
    return files


def write(folder):
    for name, data in contents().items():
        (folder / name).write_bytes(data)
