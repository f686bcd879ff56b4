"""Opens a dataset that TFDS has prepared, preparing it first where it is not yet."""

import concurrent.futures
import contextlib
import io
import os
import pathlib
import sys

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dg_jax import errors
from dg_jax.data import dataset, registry, splits


def load(
    name: str,
    domains: tuple[str, ...],
    *,
    image_size: int,
    split_seed: int,
    data_dir: pathlib.Path | None = None,
) -> dataset.MultiDomainDataset:
    """Reads the domains of a dataset into memory, split and at the size wanted.

    Args:
        name: a dataset of :data:`dg_jax.data.registry.DATASETS`.
        domains: which of its domains.
        image_size: height and width in pixels; images are resized bilinearly.
        split_seed: see :func:`dg_jax.data.splits.split_concepts`.
        data_dir: where TFDS keeps prepared data; its own default if ``None``.

    Raises:
        UserError: what the dataset is made from is missing or has other contents, or
            ``data_dir`` cannot be written.
    """
    builder = _prepare(name, data_dir)
    images, labels, concepts = {}, {}, {}
    for domain in domains:
        source = builder.as_data_source(split=domain, decoders={"image": tfds.decode.SkipDecoding()})
        examples = sorted(source.__getitems__(range(len(source))), key=lambda example: example["concept"])
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda example: _decode(example["image"], image_size), examples)
        images[domain] = np.stack(list(decoded))
        labels[domain] = np.array([example["label"] for example in examples], np.int32)
        concepts[domain] = np.array([example["concept"].decode() for example in examples])

    parts = splits.split_concepts(concepts, labels, split_seed)
    split_domains = {}
    for domain in domains:
        part_of = np.array([parts[concept] for concept in concepts[domain].tolist()])
        split_domains[domain] = {
            part: dataset.Part(images[domain][part_of == part], labels[domain][part_of == part])
            for part in splits.FRACTIONS
        }
    return dataset.MultiDomainDataset(name, tuple(builder.info.features["label"].names), split_domains)


def _prepare(name: str, data_dir: pathlib.Path | None) -> tfds.core.DatasetBuilder:
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # array_record is the one format that TFDS writes and reads without TensorFlow.
        builder = registry.builder_class(name)(data_dir=data_dir, file_format="array_record")
        if not builder.is_prepared():
            # TFDS says on stdout that it downloads, also where it does not.
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
    except OSError as error:
        raise errors.UserError(
            f"--data-dir: cannot prepare {name}: {error.strerror}: {error.filename}; give a folder that can be written"
        ) from error
    return builder


def _decode(encoded: bytes, image_size: int) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        picture = image.convert("RGB")
    if picture.size != (image_size, image_size):
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(picture)
