"""Brings images onto the device: all of them at the start, or batch by batch."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax.data import augment, dataset, sampling

_NO_SOURCE = 2**31  # a number that no source has; random keys are made from these numbers


class Feed(NamedTuple):
    """Domain batches of a run, in two halves: on the host, and inside the compiled step.

    Attributes:
        values: ``values(first)`` yields the value for each step from ``first`` on.
        like: shapes and dtypes of a value.
        draw: ``draw(value, step) -> domain batch`` inside the compiled step.
        is_constant: whether every step gets the same value: all images, on the device.
        images_per_step: how many images a step draws.
    """

    values: Callable[[int], Iterator[chex.ArrayTree]]
    like: chex.ArrayTree
    draw: Callable[[chex.ArrayTree, chex.Array], dict[str, chex.Array]]
    is_constant: bool
    images_per_step: int


def domain_batches(
    sources: Sequence[dataset.AnyPart],
    key: chex.PRNGKey,
    batch_size: int,
    *,
    single_domain: bool = False,
    augmented: bool = False,
) -> Feed:
    """Makes the feed of training batches.

    Step t draws the same images whether they are held on the device or read from disk.

    Args:
        sources: training parts of the N sources, all in memory or all stored.
        key: PRNG key of the run's sampling. It is part of each value, so that the compiled step
            is the same for every seed.
        batch_size: images B of each source.
        single_domain: whether all N rows of a step come from one source, drawn again at
            each step, see :func:`dg_jax.data.sampling.sample_single_domain_batch`.
        augmented: whether images are changed at random, see :func:`dg_jax.data.augment.standard`.
    """

    def ready(batch: dict[str, chex.Array], key: chex.PRNGKey, step: chex.Array) -> dict[str, chex.Array]:
        def change(images):
            if not augmented:
                return images
            drawn = jax.random.fold_in(jax.random.fold_in(key, _NO_SOURCE), step)
            return augment.standard(drawn, images)

        return batch | {"image": sampling.network_input(batch["image"], change)}

    stored = [source for source in sources if isinstance(source, dataset.StoredPart)]
    if not stored:
        held = jax.device_put((list(sources), key))
        sample = sampling.sample_single_domain_batch if single_domain else sampling.sample_domain_batch
        return Feed(
            values=lambda first: itertools.repeat(held),
            like=held,
            draw=lambda value, step: ready(sample(value[0], value[1], step, batch_size), value[1], step),
            is_constant=True,
            images_per_step=len(sources) * batch_size,
        )

    n = len(stored)

    def key_of(source: int) -> chex.PRNGKey:
        source_key = jax.random.fold_in(key, source)
        return jax.random.fold_in(source_key, 0) if single_domain else source_key

    @functools.lru_cache(maxsize=2 * n)  # readers may be at the end of one epoch and the start of the next
    def shuffled(source: int, epoch: int) -> np.ndarray:
        return np.asarray(sampling.shuffled(key_of(source), epoch, len(stored[source].label)))

    def read_rows(step: int, source: int, count: int) -> dataset.Part:
        size = len(stored[source].label)
        if size < count:
            return stored[source].read(np.asarray(sampling.sample_indices(key_of(source), step, size, count)))
        epoch, start = sampling.place_in_epoch(step, size, count)
        return stored[source].read(shuffled(source, epoch)[start : start + count])

    def read_step(step: int) -> tuple[dataset.Part, chex.PRNGKey]:
        if single_domain:
            parts = [read_rows(step, int(sampling.drawn_source(key, step, n)), n * batch_size)]
        else:
            parts = [read_rows(step, source, batch_size) for source in range(n)]
        whole = dataset.concatenate(parts)
        images = whole.image.reshape(n, batch_size, *whole.image.shape[1:])
        return dataset.Part(images, whole.label.reshape(n, batch_size)), key

    size = stored[0].image_size

    def empty() -> tuple[dataset.Part, chex.PRNGKey]:
        shape = (n, batch_size)
        return dataset.Part(jnp.empty((*shape, size, size, 3), jnp.uint8), jnp.empty(shape, jnp.int32)), key

    return Feed(
        like=jax.eval_shape(empty),
        values=lambda first: _read_ahead(range(first, 2**31 - 1), read_step),
        draw=lambda value, step: ready(value[0]._asdict(), value[1], step),
        is_constant=False,
        images_per_step=n * batch_size,
    )


def passes(
    parts: Sequence[dataset.AnyPart], batch_size: int
) -> Callable[[], Iterator[tuple[dataset.Part, np.ndarray]]]:
    """Returns a function that iterates over all images of some parts, for evaluation.

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
        batches = []
        for start in range(0, total, batch_size):
            rows = np.arange(start, start + batch_size)
            mask = rows < total
            batches.append(jax.device_put((np.where(mask, rows, start), mask)))
        return lambda: ((_take(held, rows), mask) for rows, mask in batches)

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

    return lambda: _read_ahead(range(0, int(ends[-1]), batch_size), read_batch)


@jax.jit
def _take(part: dataset.Part, rows: chex.Array) -> dataset.Part:
    return jax.tree.map(lambda leaf: leaf[rows], part)


def _read_ahead(numbers: range, read: Callable[[int], Any]) -> Iterator:
    """Reads on all cores while the device works; in threads, since decoding releases Python's lock."""
    import grain  # slow to import, and a run on images in memory does not need it

    batches = grain.MapDataset.range(numbers.start, numbers.stop, numbers.step).map(read)
    cores = os.cpu_count() or 1
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=cores, prefetch_buffer_size=2 * cores)))
