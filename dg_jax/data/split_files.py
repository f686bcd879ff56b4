"""Reads published splits from text files with one picture per line."""

import collections
import hashlib
import pathlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from dg_jax import errors
from dg_jax.data import builder
from dg_jax.reading import foreign

# The separator of picture and label, and the file of each part: in the paper's released code, and in PACS's own lists.
_KINDS = (
    (",", {"train": "{}_train.txt", "validation": "{}_val.txt", "test": "{}_test.txt"}),
    (" ", {"train": "{}_train_kfold.txt", "validation": "{}_crossval_kfold.txt", "test": "{}_test_kfold.txt"}),
)


def read(
    folder: pathlib.Path, dataset: str, index: builder.Index, parts: dict[str, tuple[str, ...]]
) -> dict[str, dict[str, np.ndarray]]:
    """Reads the split of each domain from its files.

    A line is ``domain/class/name.jpg,LABEL`` (the released code of the paper) or
    ``domain/class/name.jpg LABEL`` (PACS's official lists, whose test list holds the whole
    domain), with labels from 1.

    Args:
        folder: where the files are, named after the domain's folder: ``sketch_train.txt``.
        dataset: its name, for messages.
        index: of the prepared dataset.
        parts: for each domain the parts wanted; only their files must be there.

    Returns:
        For each domain and part wanted the rows in the index, integers, in the order of the file.

    Raises:
        UserError: a file is missing or names no picture; a line has another form, names a
            picture that is not in the dataset, or has a label that does not fit its class; or
            a picture is named twice, or is in both training and validation.
    """
    lists = find(folder, index.concepts, parts)
    damaged = {name for name, _ in index.damaged}
    numbers: dict[int, int] = {}  # label in the files -> our label
    rows: dict[str, dict[str, np.ndarray]] = {}
    for domain, wanted in parts.items():
        row_of = {concept: row for row, concept in enumerate(index.concepts[domain])}
        rows[domain] = {}
        for part in wanted:
            path, separator = lists[domain, part]
            found: list[int] = []
            for number, picture, label in _lines(path, separator):
                if picture in damaged:
                    continue
                where = f"--splits-dir: {path}, line {number}"
                if picture not in row_of:
                    raise errors.UserError(f"{where}: {picture!r} is not in {dataset}, domain {domain}")
                row = row_of[picture]
                ours = index.labels[domain][row]
                if numbers.setdefault(label, ours) != ours:
                    raise errors.UserError(
                        f"{where}: label {label} stands for {index.classes[numbers[label]]} elsewhere, "
                        f"but {picture!r} is of class {index.classes[ours]}"
                    )
                found.append(row)
            if not found:
                raise errors.UserError(f"--splits-dir: {path} names no picture")
            [(twice, count)] = collections.Counter(found).most_common(1)
            if count > 1:
                raise errors.UserError(f"--splits-dir: {path} names {index.concepts[domain][twice]!r} twice")
            rows[domain][part] = np.array(found)
        both = set(rows[domain].get("train", [])) & set(rows[domain].get("validation", []))
        if both:
            raise errors.UserError(
                f"--splits-dir={folder}: {index.concepts[domain][min(both)]!r} is in both training and validation"
            )
    return rows


def find(
    folder: pathlib.Path, pictures: Mapping[str, Iterable[str]], parts: Mapping[str, Iterable[str]]
) -> dict[tuple[str, str], tuple[pathlib.Path, str]]:
    """Finds the files of a split.

    Args:
        folder: where they are.
        pictures: for each domain the names of its pictures.
        parts: for each domain the parts wanted.

    Returns:
        Domain and part -> its file, and the separator of picture and label in it.

    Raises:
        UserError: a file is missing.
    """
    lists: dict[tuple[str, str], tuple[pathlib.Path, str]] = {}
    for domain, wanted in parts.items():
        # All pictures of a domain are in one folder, whose name may differ from the domain's.
        names = sorted({domain, *(name.split("/")[0] for name in pictures[domain])})
        lists |= {(domain, part): _find(folder, part, names) for part in wanted}
    return lists


def _find(folder: pathlib.Path, part: str, names: list[str]) -> tuple[pathlib.Path, str]:
    candidates = [(folder / files[part].format(name), separator) for separator, files in _KINDS for name in names]
    for path, separator in candidates:
        if path.is_file():
            return path, separator
    raise errors.UserError(f"--splits-dir={folder} has no {' or '.join(path.name for path, _ in candidates)}")


def identify(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a list; raises a ``UserError`` if it cannot be read."""
    return hashlib.sha256(_text(path).encode()).hexdigest()


def _text(path: pathlib.Path) -> str:
    try:
        return foreign.text(path)
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--splits-dir: cannot read {path}: {error}") from error


def _lines(path: pathlib.Path, separator: str) -> Iterator[tuple[int, str, int]]:
    """Yields line number, picture and label."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        picture, _, label = line.rpartition(separator)
        if not (picture and label.strip().isdecimal() and len(label) < 10):
            raise errors.UserError(
                f"--splits-dir: {path}, line {number}: {line!r} is not domain/class/picture{separator}LABEL"
            )
        yield number, unicodedata.normalize("NFC", picture.strip()), int(label)
