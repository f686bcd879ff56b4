"""Folders of pictures as they are downloaded: which files belong to which domain and class."""

import dataclasses
import itertools
import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple

from dg_jax import errors
from dg_jax.reading import names

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_DEEPEST = 5  # levels of folders that are looked through for a hint


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a dataset's folders are arranged: ``[root/]domain/[part/]class/picture``.

    Folder names are compared without regard to case, spaces and punctuation.

    Attributes:
        domains: for each domain the names that its folder may have; empty: every folder
            is a domain.
        classes: for each class the names that its folder may have, in the order of the
            labels; empty: every folder is a class, and the labels follow their sorted names.
        num_classes: how many classes there must be; ``None``: as many as there are.
        roots: subfolders in which the domains may be, if they are not in the folder given.
        parts: groups of folders between domain and class. For each domain the first group
            is read of which it has a folder. The files of a group are pooled.
    """

    domains: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    classes: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    num_classes: int | None = None
    roots: tuple[str, ...] = ()
    parts: tuple[tuple[str, ...], ...] = ()


class Picture(NamedTuple):
    """One file of a tree.

    Attributes:
        path: where it is.
        label: index of its class.
        name: its path below the root, with ``/`` and in Unicode's composed form (NFC).
    """

    path: pathlib.Path
    label: int
    name: str


@dataclasses.dataclass(frozen=True)
class Tree:
    """What a scan found.

    Attributes:
        classes: names of the classes, in the order of the labels.
        pictures: for each domain its files, sorted by class and name.
        ignored: files whose ending is not that of a picture.
    """

    classes: tuple[str, ...]
    pictures: dict[str, list[Picture]]
    ignored: list[str]


def domain_names(folder: pathlib.Path) -> tuple[str, ...]:
    """Returns the domains of a tree: its folders, sorted.

    Raises:
        UserError: there is no such folder, or no picture is two folders below it.
    """
    domains = _folders(folder)
    if not any(name.count("/") == 2 for name in _pictures_below(folder, folder, _DEEPEST)):
        raise errors.UserError(f"--data-dir={folder} holds no domains{layout_hint(folder)}")
    return tuple(sorted(_composed(entry.name) for entry in domains))


def layout_hint(folder: pathlib.Path) -> str:
    """Returns the end of a message: how a tree must look, what is in this one, and which folder to give."""
    wanted = "; it must be laid out as DOMAIN/CLASS/PICTURE"
    found = list(itertools.islice(_pictures_below(folder, folder, _DEEPEST), 3))
    if not found:
        names = sorted(path.name for path in folder.iterdir())
        return f"{wanted}, but it holds no picture (found: {errors.listed(names[:3]) or 'nothing'})"
    seen = f"{wanted}, but found: {errors.listed(found)}"
    depth = found[0].count("/")
    if depth > 2:
        return f"{seen}; give --data-dir={folder.joinpath(*found[0].split('/')[: depth - 2])}"
    if depth < 2:
        above = folder.resolve().parents[1 - depth]
        return f"{seen}; if these are pictures of one {'domain' if depth else 'class'}, give --data-dir={above}"
    return seen


def _pictures_below(folder: pathlib.Path, top: pathlib.Path, levels: int) -> Iterator[str]:
    """Yields the names of pictures below a folder, one for each folder that holds any."""
    try:
        entries = sorted(folder.iterdir(), key=_by_name) if not folder.is_symlink() or folder == top else []
    except OSError:
        return
    pictures = [entry for entry in entries if entry.suffix.lower() in ENDINGS and not entry.is_dir()]
    if pictures:
        yield pictures[0].relative_to(top).as_posix()
    elif levels:
        for entry in entries:
            if entry.is_dir() and not _is_passed_over(entry.name):
                yield from _pictures_below(entry, top, levels - 1)


def scan(
    folder: pathlib.Path,
    layout: Layout,
    dataset: str,
    domains: Collection[str] = (),
    *,
    classes_may_be_missing: bool = False,
) -> Tree:
    """Finds the pictures of a dataset and checks that all domains and classes are there.

    Hidden files and folders and ``__MACOSX`` are passed over; files without the ending
    of a picture (of any case) are passed over and listed.

    Args:
        folder: where the download was unpacked.
        layout: how it is arranged.
        dataset: its name, for messages.
        domains: the domains to read, if every folder is a domain; by default all.
        classes_may_be_missing: whether a domain may lack a class.

    Raises:
        UserError: a domain or class is missing, empty or not of this dataset, a symbolic
            link leaves the folder, or a name is not valid UTF-8.
    """
    root = _find_root(folder, layout)
    folders = _find_domains(root, layout, dataset)
    if domains and not layout.domains:
        folders = {domain: path for domain, path in folders.items() if domain in domains}
    class_folders = {domain: list(_class_folders(path, layout)) for domain, path in folders.items()}
    classes = tuple(layout.classes) or tuple(
        sorted({_composed(path.name) for paths in class_folders.values() for path in paths})
    )
    aliases = _aliases(layout.classes or {name: (name,) for name in classes}, exact=not layout.classes)
    if layout.num_classes not in (None, len(classes)):
        raise errors.UserError(f"{dataset}: {root} holds {len(classes)} classes, expected {layout.num_classes}")

    problems: list[str] = []
    missing: list[str] = []
    ignored: list[str] = []
    pictures: dict[str, list[Picture]] = {}
    top = root.resolve()
    for domain, paths in class_folders.items():
        found: list[list[Picture]] = [[] for _ in classes]
        names = set()  # if parts overlap, a picture counts once
        for path in paths:
            class_name = aliases.get(_composed(path.name) if not layout.classes else _plain(path.name))
            if class_name is None:
                problems.append(f"{path.relative_to(root)} is no class of {dataset}")
                continue
            label = classes.index(class_name)
            relative = _composed(path.relative_to(root).as_posix())
            for file in _files(path, top, ignored):
                if (label, file.name) not in names:
                    names.add((label, file.name))
                    name = f"{relative}/{_composed(file.name)}"
                    found[label].append(Picture(pathlib.Path(file.path), label, name))
        for label, class_name in enumerate(classes):
            if not found[label]:
                missing.append(f"{folders[domain].name} has no pictures of class {class_name}")
        pictures[domain] = [picture for of_class in found for picture in sorted(of_class, key=lambda one: one.name)]
        if not any(found):
            problems.append(f"{folders[domain].name} has no pictures at all")
    if problems or (missing and not classes_may_be_missing):
        advice = (
            "is the download complete?"
            if layout.domains
            else "name the folders that are domains with --domains, or train on what is there with "
            "--missing-classes=allow"
        )
        raise errors.UserError(f"{dataset}: in {root}: {errors.listed(problems + missing)}; {advice}")
    return Tree(classes, pictures, ignored)


def _find_root(folder: pathlib.Path, layout: Layout) -> pathlib.Path:
    """Returns the folder that holds the domains: the one given, or one below it."""
    aliases = _aliases(layout.domains)
    _folders(folder)  # must be there
    for candidate in (folder, *(folder / root for root in layout.roots)):
        if candidate.is_dir() and any(_plain(entry.name) in aliases for entry in _folders(candidate)):
            return candidate
    return folder


def _find_domains(root: pathlib.Path, layout: Layout, dataset: str) -> dict[str, pathlib.Path]:
    """Returns the folder of each domain."""
    if not layout.domains:
        return {_composed(path.name): path for path in sorted(_folders(root), key=_by_name)}
    aliases = _aliases(layout.domains)
    found: dict[str, pathlib.Path] = {}
    for path in sorted(_folders(root), key=_by_name):
        domain = aliases.get(_plain(path.name))
        if domain in found:
            raise errors.UserError(f"{dataset}: {found[domain]} and {path} are both the domain {domain}; keep one")
        if domain is not None:
            found[domain] = path
    missing = [name for name in layout.domains if name not in found]
    if missing:
        wanted = " ".join(layout.domains[name][0] for name in missing)
        raise errors.UserError(
            f"{dataset}: --data-dir={root} has no folder for {', '.join(missing)} (looked for {wanted!r}); "
            "give the folder that holds the domains"
        )
    return {name: found[name] for name in layout.domains}


def _class_folders(domain: pathlib.Path, layout: Layout) -> Iterator[pathlib.Path]:
    folders = sorted(_folders(domain), key=_by_name)
    for group in layout.parts:
        parts = [path for path in folders if path.name in group]
        if parts:
            for part in parts:
                yield from sorted(_folders(part), key=_by_name)
            return
    yield from folders


def _files(folder: pathlib.Path, top: pathlib.Path, ignored: list[str]) -> Iterator[os.DirEntry]:
    """Yields the pictures of one class; adds other files to ``ignored``."""
    _check_link(folder, top)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=_by_name):
            if _is_passed_over(entry.name):
                continue
            if entry.is_symlink():
                _check_link(pathlib.Path(entry.path), top)
            if entry.is_dir():
                raise errors.UserError(
                    f"{entry.path} is a folder where pictures are expected; move or remove it{layout_hint(top)}"
                )
            if os.path.splitext(entry.name)[1].lower() in ENDINGS:
                yield entry
            else:
                ignored.append(entry.path)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not _is_passed_over(path.name)]
    except OSError as error:
        raise errors.UserError(f"--data-dir: cannot read {folder}: {error.strerror}") from error


def _check_link(path: pathlib.Path, top: pathlib.Path) -> None:
    """Refuses links out of the folder: an archive from outside must not make other files be read as pictures."""
    try:
        leaves = not path.resolve(strict=True).is_relative_to(top)
    except OSError as error:
        raise errors.UserError(f"{path} is a symbolic link that leads nowhere; remove it") from error
    if leaves:
        raise errors.UserError(f"{path} is a symbolic link that leaves {top}; put the pictures themselves there")


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_picture(path: pathlib.PurePath) -> bool:
    """Whether a path has the ending of a picture and is not hidden."""
    return path.suffix.lower() in ENDINGS and not any(map(_is_passed_over, path.parts))


def _by_name(entry: os.DirEntry | pathlib.Path) -> str:
    return _composed(entry.name)


def _composed(name: str) -> str:
    """Unicode's composed form: file systems and lists write the same accent in two ways."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise errors.UserError(f"the name {name!r} is not valid UTF-8; rename the file") from error
    return unicodedata.normalize("NFC", name)


def _plain(name: str) -> str:
    return names.plain(_composed(name))


def _aliases(names: dict[str, tuple[str, ...]], exact: bool = False) -> dict[str, str]:
    return {alias if exact else _plain(alias): name for name, folders in names.items() for alias in folders}
