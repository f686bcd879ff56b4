"""Makes a dataset from the caller's arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dg_jax import errors
from dg_jax.data import dataset, splits


def split(
    domains: Mapping[str, tuple[Any, Any]],
    target: str,
    *,
    name: str,
    seed: int,
    classes: Sequence[str] | None = None,
) -> dataset.MultiDomainDataset:
    """Splits the examples of several domains into parts, as pictures are split, each example by itself.

    Args:
        domains: for each domain its examples and their classes: uint8 images ``[n, H, W, 3]``, or floats
            ``[n, ...]`` of any shape, the same in all domains; and integers ``[n]``, counted from 0.
        target: the domain held out.
        name: what the dataset is called.
        seed: see :func:`dg_jax.data.splits.split_concepts`.
        classes: their names, in the order of the labels; by default their numbers.

    Returns:
        The training and validation parts of the sources, the test part of the target, and a SHA-256 of each
        domain's contents.

    Raises:
        UserError: an array has another form (the message names the domain), ``target`` is not a domain, a label
            has no name, or a part is empty.
    """
    parts = {domain: _part(domain, *_pair(domain, given)) for domain, given in domains.items()}
    if target not in parts:
        raise errors.UserError(f"target={target!r} is not a domain; there are: {', '.join(parts)}")
    first = next(iter(parts))
    for domain, part in parts.items():
        for what, own, others in (
            ("shape", part.image.shape[1:], parts[first].image.shape[1:]),
            ("dtype", part.image.dtype, parts[first].image.dtype),
        ):
            if own != others:
                raise errors.UserError(f"{domain}: its examples have {what} {own}, those of {first} {others}")
    largest = max(int(part.label.max()) for part in parts.values())
    names = tuple(map(str, classes if classes is not None else range(largest + 1)))
    if largest >= len(names):
        raise errors.UserError(f"classes: {len(names)} names, but there is a label {largest}")

    width = len(str(max(len(part.label) for part in parts.values())))
    concepts = {
        domain: np.array([f"{domain} {i:0{width}}" for i in range(len(part.label))]) for domain, part in parts.items()
    }
    labels = {domain: part.label for domain, part in parts.items()}
    rows = splits.rows_of_parts(concepts, splits.split_concepts(concepts, labels, seed))
    wanted = {domain: ("test",) if domain == target else ("train", "validation") for domain in parts}
    for needed in ("validation", "test"):
        if not any(len(rows[domain][needed]) for domain, names_of_parts in wanted.items() if needed in names_of_parts):
            raise errors.UserError(
                f"no example is in the {needed} part; give more (a class in a domain needs six for one in validation, "
                "two for one in test)"
            )
    return dataset.MultiDomainDataset(
        name,
        names,
        {
            domain: {part: parts[domain].read(rows[domain][part]) for part in names_of_parts}
            for domain, names_of_parts in wanted.items()
        },
        inputs={f"examples of {domain}": identify([part.image, part.label]) for domain, part in parts.items()},
    )


def identify(arrays: Sequence[np.ndarray]) -> str:
    """Returns a SHA-256 of some arrays, their shapes and dtypes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _pair(domain: str, given: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        examples, labels = given
    except (TypeError, ValueError) as error:
        raise errors.UserError(f"{domain}: give a pair (examples, labels)") from error
    return np.asarray(examples), np.asarray(labels)


def _part(domain: str, examples: np.ndarray, labels: np.ndarray) -> dataset.Part:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise errors.UserError(f"{domain}: labels are integers [n], these are {labels.dtype} {list(labels.shape)}")
    if examples.ndim < 2 or len(examples) != len(labels):
        raise errors.UserError(
            f"{domain}: examples are [n, ...] with one label each, these are {list(examples.shape)} with {len(labels)}"
        )
    if not len(labels):
        raise errors.UserError(f"{domain}: there are no examples")
    if labels.min() < 0:
        raise errors.UserError(f"{domain}: there is a label {labels.min()}; they are counted from 0")
    if examples.dtype == np.uint8:
        if examples.ndim != 4 or examples.shape[-1] != 3:
            raise errors.UserError(
                f"{domain}: uint8 examples are images [n, H, W, 3], these are {list(examples.shape)}; give others as "
                "floats, on the scale that the network wants"
            )
    elif not np.issubdtype(examples.dtype, np.floating):
        raise errors.UserError(f"{domain}: examples are uint8 images or floats, these are {examples.dtype}")
    elif not np.isfinite(examples).all():
        row = np.argwhere(~np.isfinite(examples))[0][0]
        raise errors.UserError(f"{domain}: example {row} has a value that is NaN or infinite")
    else:
        examples = examples.astype(np.float32)
    return dataset.Part(examples, labels.astype(np.int32))
