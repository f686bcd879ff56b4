"""Pictures read from files by a PyTorch DataLoader, as in most PyTorch code."""

import pathlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.utils import data

from dg_jax import imagenet


class Pictures(data.Dataset):
    """Decodes, resizes to a square, and normalises one picture at a time: float32 ``[3, size, size]``."""

    def __init__(self, files: Sequence[pathlib.Path], size: int):
        self._files = files
        self._size = size
        self._mean = torch.tensor(imagenet.MEAN).view(3, 1, 1)
        self._std = torch.tensor(imagenet.STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self._files[index]) as picture:
            resized = picture.convert("RGB").resize((self._size, self._size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
        return (pixels.float() / 255 - self._mean) / self._std


def loader(pictures: Pictures, batch_size: int, batches: int, workers: int) -> data.DataLoader:
    """Returns a loader that gives ``batches`` batches of pictures drawn with replacement at each pass.

    The workers stay alive between passes, so that their start is not measured. They are not
    forked from this process, because a fork would break its threads.
    """
    return data.DataLoader(
        pictures,
        batch_size,
        sampler=data.RandomSampler(pictures, replacement=True, num_samples=batches * batch_size),
        num_workers=workers,
        multiprocessing_context="forkserver" if workers else None,
        persistent_workers=workers > 0,
    )
