"""Small trees of pictures with the layout, names and file kinds of the published datasets."""

import pathlib

import numpy as np
from PIL import Image

PACS_CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")


def photo(seed: int, width: int = 227, height: int = 227) -> Image.Image:
    """A smooth picture, so that JPEG changes it little."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def save(path: pathlib.Path, image: Image.Image, **options) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def fill(
    root: pathlib.Path, domains, classes, name: str = "pic_{:03}.jpg", per_class: int = 10, size: int = 227
) -> None:
    """``per_class`` pictures for each ``root/domain/class``."""
    seed = 0
    for domain in domains:
        for label in classes:
            for number in range(per_class):
                seed += 1
                save(root / domain / label / name.format(number), photo(seed, size, size))


def pacs(root: pathlib.Path, per_class: int = 10) -> pathlib.Path:
    """A tree like that of the unpacked zip of PACS, with ``kfold``; sketches are PNG files."""
    fill(root / "kfold", ("art_painting", "cartoon", "photo"), PACS_CLASSES, per_class=per_class)
    fill(root / "kfold", ("sketch",), PACS_CLASSES, "n0{:04}-1.png", per_class=per_class)
    return root
