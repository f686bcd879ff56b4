"""A sheet of example images, a row for each domain and a column for each class (paper, Figure 1).

    python -m experiments.samples --dataset=emoji
    python -m experiments.samples --dataset=styles
    python -m experiments.samples --dataset=pacs --data-dir=~/data/PACS

Needs the extra ``analysis``. Look at this first when the data is new.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

import numpy as np

from dg_jax import config, errors
from dg_jax.command_line import flags, program
from dg_jax.data import registry
from dg_jax.reading import names, paths

_LARGEST = 128


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw example images of every domain of a dataset."""

    dataset: str = config.Data.dataset
    """Which dataset: styles, emoji, or one you have downloaded."""
    domains: tuple[str, ...] = ()
    """Which domains, in this order. By default all; for styles, apple, twitter, openmoji and line."""
    classes: int = 8
    """How many classes, drawn by the seed; all if there are fewer."""
    seed: int = 0
    """Another seed shows other classes and images."""
    data_dir: pathlib.Path | None = None
    """The folder of a downloaded dataset, with a folder for each domain; for styles, the one with npm's tarballs."""
    splits_dir: pathlib.Path | None = None
    """Published split files, as for dg_jax.run."""
    skip_damaged: bool = False
    """Leave out pictures that cannot be read."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept. By default TFDS's own directory, ~/tensorflow_datasets."""
    output: pathlib.Path | None = None
    """The picture to write. By default experiments/figures/samples-DATASET.png."""


def choose(data, count: int, seed: int) -> tuple[list[int], list[list[np.ndarray | None]]]:
    """Draws classes, and from each domain's training part an image of each of them.

    Parts are sorted by concept, and all domains' images are taken at the same fraction of
    their class: where domains share their concepts, as in emoji, a column shows one concept.

    Args:
        data: a :class:`dg_jax.data.dataset.MultiDomainDataset` with training parts.
        count: the largest number of classes.
        seed: of the draw.

    Returns:
        Labels of the classes, ascending, and for each domain their images, uint8
        ``[H, W, 3]``, ``None`` where the domain has none.
    """
    rng = np.random.default_rng(seed)
    labels = sorted(rng.permutation(len(data.classes))[:count].tolist())
    places = rng.random(len(labels))
    images: list[list[np.ndarray | None]] = []
    for parts in data.domains.values():
        part = parts["train"]
        images.append([])
        for label, place in zip(labels, places, strict=True):
            rows = np.flatnonzero(part.label == label)
            chosen = rows[[int(place * len(rows))]] if len(rows) else None
            images[-1].append(None if chosen is None else part.read(chosen).image[0])
    return labels, images


def make_sheet(arguments: Arguments) -> pathlib.Path:
    """Writes the sheet and returns its path.

    Raises:
        UserError: a flag is wrong, the dataset cannot be read, or the file cannot be written.
    """
    dataset = registry.dataset_name(arguments.dataset)
    data_dir, splits_dir, prepared_dir, output = (
        (path := getattr(arguments, name)) and paths.expanded(path, config.flag(name))
        for name in ("data_dir", "splits_dir", "prepared_dir", "output")
    )
    output = output or pathlib.Path(__file__).parents[1] / "figures" / f"samples-{dataset}.png"
    if arguments.classes < 1:
        raise errors.UserError(f"--classes={arguments.classes}: give a whole number of at least 1")
    if not 0 <= arguments.seed < 2**32:
        raise errors.UserError(f"--seed={arguments.seed}: give a whole number from 0 to 4294967295")
    if output.suffix != ".png":
        raise errors.UserError(f"--output={output}: give a name that ends in .png")
    spec = registry.get(dataset)
    if spec.is_computed:
        raise errors.UserError(
            f"--dataset={dataset} has no RGB pictures to draw; give emoji, styles, or a downloaded one"
        )
    full_names = [registry.full_name(dataset, domain, data_dir) for domain in arguments.domains]
    known = registry.domains(dataset, data_dir)
    for domain in full_names:
        if domain not in known:
            raise names.unknown(f"domain in --domains for --dataset={dataset}:", domain, known)
    domains = full_names or (spec.default_domains if spec.chosen_together else known)
    # These imports are slow: --help and a mistyped flag need not wait for them.
    from dg_jax.data import prepared
    from experiments import pictures
    from experiments.samples import sheet

    data = prepared.load(
        dataset,
        dict.fromkeys(domains, ("train",)),
        image_size=min(registry.builder_of(dataset).SIZE, _LARGEST),
        split_seed=arguments.seed,
        data_dir=data_dir,
        prepared_dir=prepared_dir,
        splits_dir=splits_dir,
        skip_damaged=arguments.skip_damaged,
    )
    labels, images = choose(data, arguments.classes, arguments.seed)
    pictures.save(sheet.draw(images, list(data.domains), [data.classes[label] for label in labels]), output)
    return output


def make(arguments: Sequence[str]) -> None:
    """Draws the sheet and prints where it is."""
    print(make_sheet(flags.cli(Arguments, arguments, prog="python -m experiments.samples")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 2 for bad input."""
    return program.main(make, "the same command draws it", arguments)


if __name__ == "__main__":
    sys.exit(main())
