"""What the emoji study pretrains on: the training emoji of a split, in other vendors' drawings and finer classes."""

import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from dg_jax.data import dataset, emoji, prepared, splits


def load(
    vendors: Sequence[str],
    domains: Sequence[str],
    seeds: Sequence[int],
    *,
    image_size: int,
    prepared_dir: pathlib.Path | None = None,
) -> Iterator[dataset.MultiDomainDataset]:
    """Opens for each seed what a network may see before it is trained on the split of that seed.

    These are only the emoji in the training part of that split: what a run validates or tests
    on is unseen, in any drawing. Classes are Unicode's subgroups, such as face-smiling or
    food-fruit. The 1,233 emoji have 94 of them.

    Args:
        vendors: whose drawings to open.
        domains: the domains of the study, by which concepts are split; see
            :func:`dg_jax.data.splits.split_concepts`.
        seeds: of the splits.
        image_size: height and width in pixels.
        prepared_dir: where prepared datasets are kept.

    Yields:
        For each seed a dataset whose domains are the vendors, with a part ``"train"`` each.

    Raises:
        UserError: as :func:`dg_jax.data.prepared.load`.
    """
    index = prepared.read_index("emoji", prepared_dir=prepared_dir)
    subgroups = emoji.read_subgroups()
    names = {vendor: np.array(index.concepts[vendor]) for vendor in vendors}
    classes = sorted({subgroups[name] for of_vendor in names.values() for name in of_vendor.tolist()})
    labels = {
        vendor: np.array([classes.index(subgroups[name]) for name in of_vendor.tolist()], np.int32)
        for vendor, of_vendor in names.items()
    }
    whole = prepared.load_whole("emoji", vendors, image_size=image_size, prepared_dir=prepared_dir)
    for seed in seeds:
        rows = splits.rows_of_parts(names, prepared.parts_of_concepts(index, domains, seed))
        parts: dict[str, dict[str, dataset.AnyPart]] = {
            vendor: {"train": dataset.chosen(dataset.Part(whole[vendor].image, labels[vendor]), rows[vendor]["train"])}
            for vendor in vendors
        }
        yield dataset.MultiDomainDataset("emoji", tuple(classes), parts)
