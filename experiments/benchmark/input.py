"""Images per second from the prepared dataset to the device, against a PyTorch DataLoader.

    python -m experiments.benchmark.generated_tree ~/data/generated
    python -m experiments.benchmark input --data-dir=~/data/generated

Ours are the domain batches of a training run, normalised, on the device. They come from memory, or are
streamed from the prepared records. For memory, opening reads pictures that an earlier opening decoded,
resized and kept. For every batch, the rival decodes, resizes and normalises files of the same domains.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from dg_jax import config, errors
from dg_jax.data import dataset, feed, image_tree, prepared, registry, sampling
from dg_jax.reading import paths
from experiments.benchmark import measure, report
from experiments.benchmark.rival import device as rival_device
from experiments.benchmark.rival import pictures

WORKERS = (0, 2)
# Mean difference of normalised pixels. Ours are stored at 227 px, so files of another size are resized twice.
TOLERANCE = 0.1
_COMPARED = 8


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures how fast images reach the device: ours and those of a PyTorch DataLoader, in turns."""

    data_dir: pathlib.Path
    """The folder of the download, or of experiments.benchmark.generated_tree."""
    dataset: str = "pacs"
    """Which dataset it is. Its default target is left out."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept. By default TFDS's own directory."""
    image_size: int = 224
    """Height and width to which pictures are resized."""
    batch_size: int = 128
    """Images of each source in a batch."""
    batches: int = 4
    """Batches in one measurement."""
    repetitions: int = 7
    """How many times each is measured."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def open_sources(arguments: Arguments, sources: Sequence[str], *, streamed: bool) -> list[dataset.AnyPart]:
    """Opens the training parts of the sources as a run does, in memory or streamed."""
    limit = mock.patch.object(prepared, "MOST_BYTES_IN_MEMORY", 0) if streamed else contextlib.nullcontext()
    with limit:
        data = prepared.load(
            arguments.dataset,
            dict.fromkeys(sources, ("train",)),
            image_size=arguments.image_size,
            split_seed=0,
            data_dir=arguments.data_dir,
            prepared_dir=arguments.prepared_dir,
        )
    return [data.domains[domain]["train"] for domain in sources]


def ours(parts: list[dataset.AnyPart], batch_size: int, batches: int) -> Callable[[], object]:
    """Returns a function that brings ``batches`` domain batches to the device, one after the other."""
    source = feed.domain_batches(parts, jax.random.key(0), batch_size)
    draw = jax.jit(source.draw).lower(source.like, jnp.zeros([], jnp.int32)).compile()

    def call():
        values = source.values(0)
        for number in range(batches):
            jax.block_until_ready(draw(next(values), jnp.asarray(number, jnp.int32)))

    return call


def loaded(batches: Iterator) -> None:
    """Brings all batches of a DataLoader to PyTorch's device."""
    device = rival_device.set_up()
    for batch in batches:
        batch.to(device)
    rival_device.wait(device)


def check(part: dataset.AnyPart, files: list[pathlib.Path], size: int) -> None:
    """Checks that we and the DataLoader give the same pictures, on some pictures of a source.

    Raises:
        UserError: they differ.
    """
    assert isinstance(part, dataset.StoredPart)
    rows = np.arange(min(_COMPARED, len(part.label)))
    mine = np.asarray(sampling.network_input(part.read(rows).image))
    rival = pictures.Pictures([files[number] for number in part.numbers[rows].tolist()], size)
    theirs = np.stack([rival[row].numpy() for row in range(len(rows))]).transpose(0, 2, 3, 1)
    measure.check_difference(f"pictures below {files[0].parent.parent}", float(np.abs(mine - theirs).mean()), TOLERANCE)


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, the pictures cannot be read, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark input")
    measure.check_repetitions(arguments.repetitions)
    arguments = dataclasses.replace(arguments, data_dir=paths.expanded(arguments.data_dir, "--data-dir"))
    sources = config.defaults(arguments.dataset).sources
    layout = registry.get(arguments.dataset).layout
    if layout is None:
        raise errors.UserError(f"--dataset={arguments.dataset}: only downloaded datasets have files to compare with")
    stored = open_sources(arguments, sources, streamed=True)
    held = open_sources(arguments, sources, streamed=False)
    smallest = min(len(part.label) for part in held)
    if not 1 <= arguments.batch_size <= smallest:
        raise errors.UserError(f"--batch-size={arguments.batch_size}: give 1 to {smallest}, the smallest source")
    tree = image_tree.scan(arguments.data_dir, layout, arguments.dataset)
    of_domain = [[picture.path for picture in tree.pictures[domain]] for domain in sources]
    for part, files in zip(stored, of_domain, strict=True):
        check(part, files, arguments.image_size)
    all_files = [path for files in of_domain for path in files]
    images = len(sources) * arguments.batch_size
    at_once = (arguments.batch_size, arguments.batches)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: open_sources(arguments, sources, streamed=False),
        "open streamed": lambda: open_sources(arguments, sources, streamed=True),
        "held": ours(held, *at_once),
        "streamed": ours(stored, *at_once),
    }
    for workers in WORKERS:
        batches = pictures.loader(
            pictures.Pictures(all_files, arguments.image_size), images, arguments.batches, workers
        )
        calls[f"loader {workers}"] = lambda batches=batches: loaded(batches)  # type: ignore[misc]
    seconds = measure.alternate(calls, arguments.repetitions, what="input")
    epoch = sum(len(part.label) for part in held)
    report.write("input", ["input", *flags], [_table(arguments, seconds, images, epoch)], arguments.output)


def _table(arguments: Arguments, seconds: dict[str, measure.Spread], images: int, epoch: int) -> report.Table:
    table = report.Table(
        "input",
        f"Images a second from {arguments.dataset} to the device, {arguments.image_size} px, {images} images in a "
        f"batch, {arguments.batches} batches in a measurement. Median (fastest to slowest). With opening: the rate "
        f"over opening and one epoch of {epoch:,} images. The ratios are our rate divided by the DataLoader's. "
        f"Pictures checked to be the same to {TOLERANCE:g} in the mean of normalised pixels. The start of the workers "
        "is not measured.",
        [
            report.Column("what", "what"),
            report.Column("rate", "images/s"),
            report.Column("open", "opening, s"),
            report.Column("rate with opening", "images/s with opening"),
            *(report.Column(f"over {workers}", f"over DataLoader, {workers} workers") for workers in WORKERS),
        ],
    )
    total = images * arguments.batches
    rates = {name: measure.rate(total, value) for name, value in seconds.items()}
    for name, opening, what in (
        ("held", "open", "ours, in memory"),
        ("streamed", "open streamed", "ours, streamed"),
        *((f"loader {workers}", "", f"PyTorch DataLoader, {workers} workers") for workers in WORKERS),
    ):
        row: dict = {"what": what, "rate": rates[name]}
        if opening:
            row |= {f"over {workers}": measure.ratio(rates[name], rates[f"loader {workers}"]) for workers in WORKERS}
            row["open"] = seconds[opening]
            row["rate with opening"] = measure.Spread(
                tuple(
                    epoch / (opened + epoch / rate)
                    for opened, rate in zip(seconds[opening].values, rates[name].values, strict=True)
                )
            )
        table.rows.append(row)
    return table
