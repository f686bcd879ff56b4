"""A TFDS builder whose splits are domains, made from picture files."""

import abc
import concurrent.futures
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import warnings
from collections.abc import Callable
from typing import NamedTuple

import tensorflow_datasets as tfds

from dg_jax.data import image_tree, picture, progress_bar

PICTURES_PER_SHARD = 512
INDEX = "index.json"


def split_name(domain: str) -> str:
    """Returns what TFDS calls a domain.

    It is the domain's name. If TFDS gives this name a meaning (``all``, ``a+b``, ``a[:9]``) or
    refuses it (spaces), it is a digest.
    """
    is_plain = re.fullmatch(r"[\w-]*[^\W_][\w-]*", domain) and domain != "all"
    return domain if is_plain else f"domain_{hashlib.sha256(domain.encode()).hexdigest()[:16]}"


class Contents(NamedTuple):
    """What a dataset is made from.

    Attributes:
        classes: names of the classes, in the order of the labels.
        pictures: for each domain its files, in the order in which they are stored.
    """

    classes: tuple[str, ...]
    pictures: dict[str, list[image_tree.Picture]]


class Index(NamedTuple):
    """What is known of a prepared dataset without reading a picture.

    Attributes:
        classes: names of the classes, in the order of the labels.
        labels: for each domain the class of every example, in the order of the records.
        concepts: for each domain the concept of every example, in the same order. No concept is in
            two parts of a split.
        damaged: for each file that could not be read, its name and the reason.
    """

    classes: list[str]
    labels: dict[str, list[int]]
    concepts: dict[str, list[str]]
    damaged: list[tuple[str, str]]


class _Shard(NamedTuple):
    """What was stored in a shard, and what was not."""

    labels: list[int]
    concepts: list[str]
    damaged: list[tuple[str, str]]


class PictureBuilder(tfds.core.dataset_builder.FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Stores every picture encoded, in the order given, with its class and its concept.

    Preparing uses all cores and goes on where it was stopped: finished shards are kept
    next to the final folder, which TFDS makes in one step at the end. Damaged files are
    left out and listed in the index.
    """

    VERSION = tfds.core.Version("2.0.0")
    SIZE: int

    @abc.abstractmethod
    def contents(self, dl_manager) -> Contents:
        """Returns what the dataset is made from."""

    def encode(self, path: pathlib.Path) -> bytes:
        """Returns the bytes to store, of an RGB picture of SIZE × SIZE pixels; raises ``picture.DamagedError``."""
        return picture.encode(path, self.SIZE)

    def read_index(self) -> Index:
        """Reads the index of a prepared dataset."""
        return Index(**json.loads((self.data_path / INDEX).read_text()))

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(self.SIZE, self.SIZE, 3)),
                    "label": tfds.features.ClassLabel(),  # named once the classes are known
                    "concept": tfds.features.Text(),
                }
            ),
        )

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        del download_config
        contents = self.contents(dl_manager)
        self.info.features["label"].names = contents.classes
        partial = pathlib.Path(self.data_path).parent / f"{self.version}.partial"
        partial.mkdir(exist_ok=True)
        index, infos = Index(list(contents.classes), {}, {}, []), []
        with warnings.catch_warnings(), Encoder(self, sum(map(len, contents.pictures.values()))) as encoder:
            # A file that Pillow warns about is either read or named in the index.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            for domain, pictures in contents.pictures.items():
                template = self._get_filename_template(split_name(domain))
                chunks = [pictures[i : i + PICTURES_PER_SHARD] for i in range(0, len(pictures), PICTURES_PER_SHARD)]
                names = [template.relative_filepath(shard_index=i, num_shards=len(chunks)) for i in range(len(chunks))]
                files = [partial / name for name in names]
                shards = [encoder.write(file, chunk) for file, chunk in zip(files, chunks, strict=True)]
                index.labels[domain] = [label for shard in shards for label in shard.labels]
                index.concepts[domain] = [concept for shard in shards for concept in shard.concepts]
                index.damaged.extend(pair for shard in shards for pair in shard.damaged)
                infos.append(
                    tfds.core.SplitInfo(
                        name=split_name(domain),
                        shard_lengths=[len(shard.labels) for shard in shards],
                        num_bytes=sum(file.stat().st_size for file in files),
                        filename_template=template,
                    )
                )
        for file in partial.glob("*.array_record-*-of-?????"):
            file.replace(self.data_path / file.name)
        (self.data_path / INDEX).write_text(json.dumps(index._asdict()))
        self.info.set_splits(tfds.core.SplitDict(infos))
        shutil.rmtree(partial)


class Encoder:
    """Encodes pictures on all cores and writes them shard by shard, with a progress bar."""

    def __init__(self, builder: PictureBuilder, total: int):
        self._encode: Callable[[pathlib.Path], bytes] = builder.encode
        self._features = builder.info.features
        self._serializer = tfds.core.ExampleSerializer(self._features.get_serialized_info())
        self._writer = tfds.core.ExampleWriter(file_format=builder.info.file_format)
        self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
        self._bar = progress_bar.ProgressBar(f"preparing {builder.name}", total)

    def __enter__(self) -> "Encoder":
        self._bar.__enter__()
        return self

    def __exit__(self, *unused) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._bar.__exit__(*unused)

    def write(self, file: pathlib.Path, pictures: list[image_tree.Picture]) -> _Shard:
        """Writes a shard, if no earlier run has. The records get their name last: if they exist, so do their notes."""
        notes = file.with_name(file.name + ".json")
        if file.exists():
            self._bar.advance(len(pictures))
            return _Shard(**json.loads(notes.read_text()))
        shard, records = _Shard([], [], []), []
        for one, encoded in zip(pictures, self._pool.map(self._try, pictures), strict=True):
            self._bar.advance()
            if isinstance(encoded, picture.DamagedError):
                shard.damaged.append((one.name, str(encoded)))
                continue
            example = {"image": encoded, "label": one.label, "concept": one.name}
            records.append((one.name, self._serializer.serialize_example(self._features.encode_example(example))))
            shard.labels.append(one.label)
            shard.concepts.append(one.name)
        unfinished = file.with_name(file.name + ".tmp")
        try:
            self._writer.write(unfinished, records)
        except RuntimeError as error:  # what array_record raises where a disk is full
            raise OSError(errno.EIO, str(error), str(unfinished)) from error
        notes.write_text(json.dumps(shard._asdict()))
        unfinished.replace(file)
        return shard

    def _try(self, one: image_tree.Picture) -> bytes | picture.DamagedError:
        try:
            return self._encode(one.path)
        except picture.DamagedError as error:
            return error
