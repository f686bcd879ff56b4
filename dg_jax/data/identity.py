"""Identifies pictures by their contents, not by their place or time."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import stat
import time

from dg_jax.data import image_tree, picture
from dg_jax.reading import foreign

_MOST_BYTES_OF_KEPT = 2**30  # far more than DomainNet's hashes take
_NOT_READ = "not read"  # for a file that is not read; it is prepared as a damaged one
# A file that is written twice within one tick of its file system's clock has the same time after both.
_TICK = 2 * 10**9


def of_pictures(tree: image_tree.Tree, kept: pathlib.Path) -> dict[str, str]:
    """Identifies the pictures of each domain.

    A file is read once: its hash is kept, and used again as long as its name, size, time and
    inode stay the same. If hashes cannot be kept, all files are read each time.

    Args:
        tree: the pictures.
        kept: the file that the hashes are kept in.

    Returns:
        Domain -> SHA-256 over the sorted names, labels and hashes of its pictures.
    """
    earlier = _read(kept)
    now = time.time_ns()
    hashes: dict[str, str] = {}  # by what is known of a file without reading it
    keys: dict[image_tree.Picture, str] = {}
    to_read: dict[str, pathlib.Path] = {}
    too_new = set()
    for one in (one for pictures in tree.pictures.values() for one in pictures):
        try:
            status = one.path.stat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_size > picture.MOST_BYTES:
            continue
        key = keys[one] = f"{one.name} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        if abs(now - status.st_mtime_ns) < _TICK:
            too_new.add(key)
        if key in earlier:
            hashes[key] = earlier[key]
        else:
            to_read[key] = one.path
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        read = dict(zip(to_read, pool.map(hash_of, to_read.values()), strict=True))
    hashes |= {key: found for key, found in read.items() if found != _NOT_READ}
    if to_read:
        _write(kept, {key: found for key, found in hashes.items() if key not in too_new})
    return {
        domain: _digest((one.name, one.label, hashes.get(keys.get(one, ""), _NOT_READ)) for one in pictures)
        for domain, pictures in tree.pictures.items()
    }


def hash_of(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return _NOT_READ


def _digest(entries) -> str:
    digest = hashlib.sha256()
    for entry in sorted(entries):
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def _read(kept: pathlib.Path) -> dict[str, str]:
    try:
        found = foreign.parse_json(foreign.text(kept, _MOST_BYTES_OF_KEPT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(kept: pathlib.Path, hashes: dict[str, str]) -> None:
    unfinished = kept.with_name(f"{kept.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(json.dumps(hashes))
            unfinished.replace(kept)
        finally:
            unfinished.unlink(missing_ok=True)
