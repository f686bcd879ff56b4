"""Opens a dataset that TFDS has prepared; prepares it first if needed."""

import contextlib
import hashlib
import io
import os
import pathlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from dg_jax import errors
from dg_jax.data import (
    builder,
    dataset,
    decoded,
    identity,
    image_tree,
    lock,
    registry,
    split_files,
    splits,
    trees,
)

# If decoded pictures take more, each step reads them from disk. PACS, VLCS, Office-Home and Terra Incognita take less.
MOST_BYTES_IN_MEMORY = 4 * 2**30


def load(
    name: str,
    parts: dict[str, tuple[str, ...]],
    *,
    image_size: int,
    split_seed: int,
    data_dir: pathlib.Path | None = None,
    prepared_dir: pathlib.Path | None = None,
    splits_dir: pathlib.Path | None = None,
    skip_damaged: bool = False,
    classes_may_be_missing: bool = False,
    domains: Collection[str] = (),
) -> dataset.MultiDomainDataset:
    """Opens domains of a dataset, split into parts and resized.

    Args:
        name: a dataset of :data:`dg_jax.data.registry.DATASETS`.
        parts: for each of the domains that take part, which of the parts ``"train"``,
            ``"validation"`` and ``"test"`` to read.
        image_size: height and width in pixels; images are resized bilinearly.
        split_seed: see :func:`dg_jax.data.splits.split_concepts`.
        data_dir: folder with the downloads, for datasets that are made from them.
        prepared_dir: where TFDS keeps prepared data; its own default if ``None``.
        splits_dir: split files to use instead of a split by seed; see
            :func:`dg_jax.data.split_files.read`.
        skip_damaged: whether to leave out files that cannot be read.
        classes_may_be_missing: whether a domain may lack a class.
        domains: if every folder is a domain, those whose classes count; by default those of ``parts``.

    Returns:
        The parts, in memory. If they would take more than 4 GiB at the size at which they are
        stored, they are :class:`dg_jax.data.dataset.StoredPart`.

    Raises:
        UserError: what the dataset is made from is missing, damaged or has other contents,
            a split file does not fit it, a part is empty, or ``prepared_dir`` cannot be written.
    """
    pictures = _find(name, domains or parts, data_dir, prepared_dir, classes_may_be_missing)
    inputs = _inputs(pictures, parts, splits_dir)
    source = _prepare(name, pictures, domains or parts, data_dir, prepared_dir)
    index = source.read_index()
    _report(name, index, tuple(parts), skip_damaged)
    labels = {domain: np.array(index.labels[domain], np.int32) for domain in parts}
    if splits_dir is None:
        concepts = {domain: np.array(index.concepts[domain]) for domain in parts}
        rows = splits.rows_of_parts(concepts, parts_of_concepts(index, parts, split_seed))
    else:
        rows = split_files.read(splits_dir, name, index, parts)

    for part in ("validation", "test"):
        wanting = [domain for domain, wanted in parts.items() if part in wanted]
        if wanting and not any(len(rows[domain][part]) for domain in wanting):
            raise errors.UserError(
                f"{name}: no picture is in the {part} part of {', '.join(wanting)}; "
                "add pictures (a class needs six for one in validation, two for one in test), or give --splits-dir"
            )
    bytes_of_one = source.SIZE**2 * 3
    images = sum(len(rows[domain][part]) for domain, wanted in parts.items() for part in wanted)
    fits = images * bytes_of_one <= MOST_BYTES_IN_MEMORY
    whole_fits = sum(map(len, labels.values())) * bytes_of_one <= MOST_BYTES_IN_MEMORY
    read: dict[str, dict[str, dataset.AnyPart]] = {}
    for domain, wanted in parts.items():
        read[domain] = {}
        if whole_fits:
            whole = _whole(source, index, domain, image_size)
        for part in wanted:
            chosen = rows[domain][part]
            if whole_fits:
                read[domain][part] = dataset.chosen(whole, chosen)
                continue
            stored = dataset.StoredPart(_records(source, domain), chosen, labels[domain][chosen], image_size)
            read[domain][part] = stored.in_memory() if fits else stored
    left_out = tuple(file for file, _ in index.damaged)
    return dataset.MultiDomainDataset(name, tuple(index.classes), read, left_out, inputs)


def identify(
    name: str,
    parts: Mapping[str, Iterable[str]],
    *,
    data_dir: pathlib.Path | None = None,
    prepared_dir: pathlib.Path | None = None,
    splits_dir: pathlib.Path | None = None,
    classes_may_be_missing: bool = False,
    domains: Collection[str] = (),
) -> dict[str, str]:
    """Identifies the inputs of :func:`load` by their contents, without opening them; see there for the arguments.

    Returns:
        ``"pictures of DOMAIN"`` and ``"split list FILE"`` -> SHA-256. Empty for a dataset that is
        made from packages: their versions identify it.
    """
    return _inputs(_find(name, domains or parts, data_dir, prepared_dir, classes_may_be_missing), parts, splits_dir)


def read_index(
    name: str, *, data_dir: pathlib.Path | None = None, prepared_dir: pathlib.Path | None = None
) -> builder.Index:
    """Returns what is known of a dataset without reading a picture; arguments and errors are those of :func:`load`."""
    pictures = _find(name, (), data_dir, prepared_dir)
    return _prepare(name, pictures, registry.get(name).default_domains, data_dir, prepared_dir).read_index()


def parts_of_concepts(index: builder.Index, domains: Iterable[str], seed: int) -> dict[str, str]:
    """Splits the concepts of some domains, see :func:`dg_jax.data.splits.split_concepts`: concept -> part."""
    concepts = {domain: np.array(index.concepts[domain]) for domain in domains}
    return splits.split_concepts(concepts, {domain: np.array(index.labels[domain]) for domain in concepts}, seed)


def load_whole(
    name: str,
    domains: Sequence[str],
    *,
    image_size: int,
    data_dir: pathlib.Path | None = None,
    prepared_dir: pathlib.Path | None = None,
) -> dict[str, dataset.Part]:
    """Opens domains in memory as they are, not split, with the rows in the order of the index.

    Arguments and errors are those of :func:`load`.
    """
    pictures = _find(name, domains, data_dir, prepared_dir)
    source = _prepare(name, pictures, domains, data_dir, prepared_dir)
    index = source.read_index()
    return {domain: _whole(source, index, domain, image_size) for domain in domains}


def _whole(source: builder.PictureBuilder, index: builder.Index, domain: str, image_size: int) -> dataset.Part:
    label = np.array(index.labels[domain], np.int32)
    stored = dataset.StoredPart(_records(source, domain), np.arange(len(label)), label, image_size)
    # In the folder of the records, so that other records never get these pictures.
    return decoded.open_or_decode(
        source.data_path / f"{source.name}-{builder.split_name(domain)}-{image_size}px.npy", stored
    )


def _records(source: builder.PictureBuilder, domain: str) -> Sequence:
    return source.as_data_source(builder.split_name(domain), decoders={"image": tfds.decode.SkipDecoding()})


class _Pictures(NamedTuple):
    """The pictures in --data-dir, the SHA-256 of each domain's contents, and whether classes may be missing."""

    tree: image_tree.Tree
    contents: dict[str, str]
    classes_may_be_missing: bool


def _find(
    name: str,
    domains: Iterable[str],
    data_dir: pathlib.Path | None,
    prepared_dir: pathlib.Path | None,
    classes_may_be_missing: bool = False,
) -> _Pictures | None:
    spec = registry.get(name)
    if spec.is_computed:
        raise errors.UserError(f"--dataset={name} is computed, so it cannot be prepared")
    layout = spec.layout
    if layout is None:
        return None
    if data_dir is None:
        raise errors.UserError(registry.DATA_DIR_MISSING.format(name))
    tree = image_tree.scan(data_dir, layout, name, tuple(domains), classes_may_be_missing=classes_may_be_missing)
    place = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    kept = _folder(prepared_dir) / registry.dataset_name(name) / f"hashes-{place}.json"
    return _Pictures(tree, identity.of_pictures(tree, kept), classes_may_be_missing)


def _folder(prepared_dir: pathlib.Path | None) -> pathlib.Path:
    if prepared_dir is not None:
        return prepared_dir
    folder = os.path.expanduser(tfds.core.constants.DATA_DIR)
    if folder.startswith("~"):
        raise errors.UserError("--prepared-dir: there is no home folder to keep prepared datasets in; name a folder")
    return pathlib.Path(folder)


def _inputs(
    pictures: _Pictures | None, parts: Mapping[str, Iterable[str]], splits_dir: pathlib.Path | None
) -> dict[str, str]:
    if pictures is None:
        return {}
    inputs = {f"pictures of {domain}": pictures.contents[domain] for domain in parts}
    if splits_dir is not None:
        names = {domain: [one.name for one in pictures.tree.pictures[domain]] for domain in parts}
        lists = split_files.find(splits_dir, names, parts)
        inputs |= {f"split list {path.name}": split_files.identify(path) for path, _ in lists.values()}
    return inputs


def _prepare(
    name: str,
    pictures: _Pictures | None,
    domains: Iterable[str],
    data_dir: pathlib.Path | None,
    prepared_dir: pathlib.Path | None,
) -> builder.PictureBuilder:
    config, ignored = None, []
    if registry.get(name).chosen_together:
        config = registry.builder_of(name).config_of(domains, data_dir)
    if pictures is not None:
        whole = hashlib.sha256(repr((pictures.tree.classes, pictures.contents)).encode()).hexdigest()
        config = trees.TreeConfig(
            name=whole[:16],
            description=str(data_dir),
            domains=tuple(pictures.tree.pictures),
            classes_may_be_missing=pictures.classes_may_be_missing,
        )
        ignored = pictures.tree.ignored

    def open_builder() -> builder.PictureBuilder:
        # array_record is the one format that TFDS writes and reads without TensorFlow.
        return registry.builder_of(name)(config=config, data_dir=_folder(prepared_dir), file_format="array_record")

    try:
        source = open_builder()
        if source.is_prepared():
            return source
        with lock.locked(source.data_path.parent):
            source = open_builder()
            if not source.is_prepared():  # while this process waited for the lock, another may have done it
                for unfinished in source.data_path.parent.glob(f"{tfds.core.constants.INCOMPLETE_PREFIX}*"):
                    unfinished.rmtree()  # left by a process that was killed
                if ignored:
                    errors.warn(f"{name}: passed over, without the ending of a picture: {errors.listed(ignored)}")
                # TFDS prints that it downloads, even if it does not.
                with contextlib.redirect_stdout(io.StringIO()):
                    source.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=data_dir))
                again = pictures and _find(
                    name, pictures.tree.pictures, data_dir, prepared_dir, pictures.classes_may_be_missing
                )
                if again != pictures:
                    shutil.rmtree(source.data_path)
                    raise errors.UserError(
                        f"--data-dir={data_dir}: pictures changed while they were prepared; "
                        "the same command prepares them again"
                    )
    except OSError as error:
        raise errors.UserError(
            f"--prepared-dir: cannot prepare {name}: {error.strerror or error}: {error.filename}; "
            "make room, or give a folder that can be written"
        ) from error
    return source


def _report(name: str, index: builder.Index, domains: tuple[str, ...], skip_damaged: bool) -> None:
    """Reports damaged files, and domains whose number of pictures is not the published one."""
    damaged = [f"{file} ({reason})" for file, reason in index.damaged]
    if damaged and not skip_damaged:
        raise errors.UserError(
            f"{name}: damaged files, {len(damaged)} in number: {errors.listed(damaged)}; "
            "repair or remove them, or leave them out with --skip-damaged"
        )
    if damaged:
        errors.warn(f"{name}: left out damaged files, {len(damaged)} in number: {errors.listed(damaged)}")
    for domain in domains:
        if not index.labels[domain]:
            raise errors.UserError(f"{name}: {domain} has no pictures left: all are damaged")
    for domain, published in registry.get(name).published.items():
        found = len(index.labels[domain])
        if found != published:
            errors.warn(f"{name}: {domain} has {found} pictures, but {published} were published")
