"""The way of images onto the device: held there as a whole, or read batch by batch."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import chex
import grain
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax.data import dataset, sampling


class Feed(NamedTuple):
    """Domain batches of a run, in two halves: on the host, and inside the compiled step.

    Attributes:
        values: ``values(first)`` yields what each step from ``first`` on is given.
        like: shapes and dtypes of a value.
        draw: ``draw(value, step) -> domain batch`` inside the compiled step.
        is_constant: whether every step is given the same value, all images on the device.
    """

    values: Callable[[int], Iterator[chex.ArrayTree]]
    like: chex.ArrayTree
    draw: Callable[[chex.ArrayTree, chex.Array], dict[str, chex.Array]]
    is_constant: bool


def domain_batches(sources: Sequence[dataset.AnyPart], key: chex.PRNGKey, batch_size: int) -> Feed:
    """Makes the feed of training batches.

    Step t draws the same images whether they are held or read.

    Args:
        sources: training parts of the N sources, all in memory or all stored.
        key: PRNG key of the run's sampling.
        batch_size: images B of each source.
    """
    stored = [source for source in sources if isinstance(source, dataset.StoredPart)]
    if not stored:
        held = jax.device_put(list(sources))
        return Feed(
            values=lambda first: itertools.repeat(held),
            like=held,
            draw=lambda parts, step: sampling.sample_domain_batch(parts, key, step, batch_size),
            is_constant=True,
        )

    @functools.lru_cache(maxsize=2 * len(stored))  # readers may be at the end of one epoch and the start of the next
    def shuffled(source: int, epoch: int) -> np.ndarray:
        source_key = jax.random.fold_in(key, source)
        return np.asarray(sampling.shuffled(source_key, epoch, len(stored[source].label)))

    def read_step(step: int) -> dataset.Part:
        parts = []
        for i, source in enumerate(stored):
            epoch, start = sampling.place_in_epoch(step, len(source.label), batch_size)
            parts.append(source.read(shuffled(i, epoch)[start : start + batch_size]))
        return dataset.Part(np.stack([part.image for part in parts]), np.stack([part.label for part in parts]))

    size = stored[0].image_size

    def empty() -> dataset.Part:
        shape = (len(stored), batch_size)
        return dataset.Part(jnp.empty((*shape, size, size, 3), jnp.uint8), jnp.empty(shape, jnp.int32))

    return Feed(
        like=jax.eval_shape(empty),
        values=lambda first: _read_ahead(grain.MapDataset.range(first, 2**31 - 1).map(read_step)),
        draw=lambda part, step: {"image": sampling.normalize(part.image), "label": part.label},
        is_constant=False,
    )


def passes(
    parts: Sequence[dataset.AnyPart], batch_size: int
) -> Callable[[], Iterator[tuple[dataset.Part, np.ndarray]]]:
    """Makes an iterator factory over all images of some parts, for evaluation.

    Args:
        parts: all in memory or all stored.
        batch_size: images in a batch, the same for all so that one program is compiled.

    Returns:
        A function that yields ``(Part [batch_size, …], mask bool [batch_size])``; the
        last batch is filled up with copies of its first image, which the mask leaves out.
    """
    stored = [part for part in parts if isinstance(part, dataset.StoredPart)]
    if not stored:
        held = jax.device_put(dataset.concatenate([part for part in parts if isinstance(part, dataset.Part)]))
        total = len(held.label)

        def on_device():
            for start in range(0, total, batch_size):
                rows = np.arange(start, start + batch_size)
                mask = rows < total
                rows = np.where(mask, rows, start)
                yield dataset.Part(held.image[rows], held.label[rows]), mask

        return on_device

    ends = np.cumsum([len(part.label) for part in stored])

    def read_batch(start: int) -> tuple[dataset.Part, np.ndarray]:
        rows = np.arange(start, start + batch_size)
        mask = rows < ends[-1]
        rows = rows[mask]
        read = []
        for part, end in zip(stored, ends, strict=True):
            inside = rows[(rows >= end - len(part.label)) & (rows < end)]
            if inside.size:
                read.append(part.read(inside - (end - len(part.label))))
        batch = dataset.concatenate(read)
        filled = np.where(mask, np.cumsum(mask) - 1, 0)
        return dataset.Part(batch.image[filled], batch.label[filled]), mask

    return lambda: _read_ahead(grain.MapDataset.range(0, int(ends[-1]), batch_size).map(read_batch))


def _read_ahead(batches: grain.MapDataset) -> Iterator:
    """Reads on all cores while the device works; threads, since decoding a picture frees the interpreter."""
    cores = os.cpu_count() or 1
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=cores, prefetch_buffer_size=2 * cores)))
