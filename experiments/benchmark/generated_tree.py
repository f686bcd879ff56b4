"""A tree of made-up pictures in the shape of a published dataset, to try loading and training at real scale.

python -m experiments.benchmark.generated_tree ~/data/generated --dataset=pacs
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import sys
import zlib

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

import numpy as np
import tyro
from PIL import Image, ImageDraw
from rich import progress

from dg_jax import errors
from dg_jax.data import registry


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw as many JPEG pictures as a dataset has, in the folders of its download.

    A picture shows a polygon on a blurred background. The class sets its number of corners, the domain its colours.
    Results on these pictures mean nothing.
    """

    folder: tyro.conf.Positional[pathlib.Path]
    """Where to make the tree; the folder must not exist yet."""
    dataset: str = "pacs"
    """Which dataset's domains, classes and numbers of pictures to take: pacs, vlcs, office_home or domain_net."""
    size: int = 227
    """Height and width in pixels."""


def draw(domain: int, label: int, number: int, size: int) -> Image.Image:
    """Returns a picture; the same arguments give the same picture."""
    random = np.random.default_rng([domain, label, number])
    style = np.random.default_rng(domain).integers(0, 256, (2, 3))
    ground = (random.integers(0, 256, (12, 12, 3)) + style[0]) // 2
    picture = Image.fromarray(ground.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    center, radius = random.uniform(0.35, 0.65, 2) * size, random.uniform(0.2, 0.35) * size
    shape = (center[0], center[1], radius)
    ImageDraw.Draw(picture).regular_polygon(
        shape, 3 + label, rotation=int(random.integers(0, 360)), fill=tuple(style[1].tolist())
    )
    return picture


def main() -> int:
    """Draws the tree. The exit code is 2 if the folder exists or the dataset has no published numbers."""
    arguments = tyro.cli(Arguments, prog="python -m experiments.benchmark.generated_tree")
    try:
        spec = registry.get(arguments.dataset)
        if spec.layout is None or not spec.published:
            raise errors.UserError(f"--dataset={arguments.dataset}: there are no published numbers of pictures")
        if arguments.folder.exists():
            raise errors.UserError(f"{arguments.folder} exists; give another folder, or remove it")
        arguments.folder.mkdir(parents=True)
    except (errors.UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    layout = spec.layout
    classes = list(layout.classes) or [f"class_{i:03}" for i in range(layout.num_classes or 0)]
    jobs = []
    for i, (domain, count) in enumerate(spec.published.items()):
        for name in classes:
            (arguments.folder / layout.domains[domain][0] / name).mkdir(parents=True)
        jobs += [(i, layout.domains[domain][0], number % len(classes), number) for number in range(count)]

    def save(job: tuple[int, str, int, int]) -> None:
        domain, folder, label, number = job
        # Quality varies, and so the file size, as in pictures from the web.
        quality = 75 + zlib.crc32(repr(job).encode()) % 20
        path = arguments.folder / folder / classes[label] / f"pic_{number:06}.jpg"
        draw(domain, label, number, arguments.size).save(path, "JPEG", quality=quality)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress.track(pool.map(save, jobs), "drawing", total=len(jobs), disable=not sys.stderr.isatty()):
            pass
    print(f"{len(jobs)} pictures in {arguments.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
