"""The datasets by name. Imports no dataset, so that the names can be listed quickly."""

import dataclasses
import importlib
import pathlib

from dg_jax import errors
from dg_jax.data import image_tree
from dg_jax.reading import names

DATA_DIR_MISSING = "--dataset={} is made from a download: --data-dir=FOLDER says where it is unpacked"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What is known of a dataset before it is opened.

    Attributes:
        builder: ``module:class`` of its TFDS builder, whose splits are the domains. For a computed dataset
            ``module:function``, which takes the parts of each domain and a seed (and, if it is made from files, their
            folder) and returns the dataset.
        domains: all domains; empty if they are the user's folders.
        default_domains: the domains used unless others are asked for.
        default_target: the domain held out unless another is asked for.
        short: other names of domains for the command line.
        layout: how its download is arranged; ``None`` if it needs none.
        published: how many pictures each domain has according to its authors.
        is_computed: whether it is computed each time it is opened, and not kept: vectors, or pictures of
            ``image_size``.
        image_size: height and width in pixels, if they cannot be chosen.
        chosen_together: whether the contents of a domain depend on the other domains that are chosen.
        takes_data_dir: whether some of its domains are made from files in ``--data-dir``, though it has no layout.
    """

    builder: str
    domains: tuple[str, ...] = ()
    default_domains: tuple[str, ...] = ()
    default_target: str = ""
    short: dict[str, str] = dataclasses.field(default_factory=dict)
    layout: image_tree.Layout | None = None
    published: dict[str, int] = dataclasses.field(default_factory=dict)
    is_computed: bool = False
    image_size: int | None = None
    chosen_together: bool = False
    takes_data_dir: bool = False


def _downloaded(
    builder: str, layout: image_tree.Layout, short: dict[str, str], default_target: str, published: dict[str, int]
) -> DatasetSpec:
    domains = tuple(layout.domains)
    return DatasetSpec(f"dg_jax.data.trees:{builder}", domains, domains, default_target, short, layout, published)


DATASETS = {
    "emoji": DatasetSpec(
        builder="dg_jax.data.emoji:Emoji",
        domains=("apple", "facebook", "google", "joypixels", "samsung", "twitter", "windows"),
        default_domains=("apple", "google", "twitter", "windows"),
        default_target="windows",
    ),
    "styles": DatasetSpec(
        builder="dg_jax.data.styles:Styles",
        domains=(
            *("apple", "facebook", "google", "joypixels", "samsung", "twitter", "windows"),
            *("openmoji", "line", "fluent_3d", "fluent_flat", "fluent_high_contrast"),
        ),
        default_domains=("apple", "twitter", "openmoji", "line"),
        default_target="line",
        short={"A": "apple", "T": "twitter", "O": "openmoji", "L": "line"},
        chosen_together=True,
        takes_data_dir=True,
    ),
    "spirals": DatasetSpec(
        builder="dg_jax.data.spirals:load",
        domains=(*(f"e{number:02}" for number in range(1, 17)), "random"),
        default_domains=(*(f"e{number:02}" for number in range(1, 17)), "random"),
        default_target="random",
        is_computed=True,
    ),
    "colored_mnist": DatasetSpec(
        builder="dg_jax.data.digits:load_colored",
        domains=("+90%", "+80%", "-90%"),
        default_domains=("+90%", "+80%", "-90%"),
        default_target="-90%",
        is_computed=True,
        image_size=28,
        takes_data_dir=True,
    ),
    "rotated_mnist": DatasetSpec(
        builder="dg_jax.data.digits:load_rotated",
        domains=("0°", "15°", "30°", "45°", "60°", "75°"),
        default_domains=("0°", "15°", "30°", "45°", "60°", "75°"),
        default_target="0°",
        is_computed=True,
        image_size=28,
        takes_data_dir=True,
    ),
    "pacs": _downloaded(
        "Pacs",
        image_tree.Layout(
            domains={name: (name,) for name in ("art_painting", "cartoon", "photo", "sketch")},
            classes={name: (name,) for name in ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")},
            roots=("kfold", "PACS", "PACS/kfold"),
        ),
        short={"A": "art_painting", "C": "cartoon", "P": "photo", "S": "sketch"},
        default_target="sketch",
        published={"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
    ),
    "vlcs": _downloaded(
        "Vlcs",
        image_tree.Layout(
            domains={
                "caltech101": ("Caltech101", "CALTECH"),
                "labelme": ("LabelMe",),
                "sun09": ("SUN09", "SUN"),
                "voc2007": ("VOC2007", "PASCAL"),
            },
            classes={
                "bird": ("bird", "0"),
                "car": ("car", "1"),
                "chair": ("chair", "2"),
                "dog": ("dog", "3"),
                "person": ("person", "4"),
            },
            roots=("VLCS",),
            parts=(("full",), ("train", "crossval", "test")),
        ),
        short={"C": "caltech101", "L": "labelme", "S": "sun09", "V": "voc2007", "P": "voc2007"},
        default_target="caltech101",
        published={"caltech101": 1415, "labelme": 2656, "sun09": 3282, "voc2007": 3376},
    ),
    "office_home": _downloaded(
        "OfficeHome",
        image_tree.Layout(
            domains={
                "art": ("Art",),
                "clipart": ("Clipart",),
                "product": ("Product",),
                "real_world": ("Real World",),
            },
            num_classes=65,
            roots=("OfficeHomeDataset_10072016", "office_home", "OfficeHome"),
        ),
        short={"A": "art", "C": "clipart", "P": "product", "R": "real_world"},
        default_target="art",
        published={"art": 2427, "clipart": 4365, "product": 4439, "real_world": 4357},
    ),
    "terra_incognita": _downloaded(
        "TerraIncognita",
        image_tree.Layout(
            domains={name: (name,) for name in ("location_38", "location_43", "location_46", "location_100")},
            classes={
                name: (name,)
                for name in (
                    "bird",
                    "bobcat",
                    "cat",
                    "coyote",
                    "dog",
                    "empty",
                    "opossum",
                    "rabbit",
                    "raccoon",
                    "squirrel",
                )
            },
            roots=("terra_incognita",),
        ),
        short={"L38": "location_38", "L43": "location_43", "L46": "location_46", "L100": "location_100"},
        default_target="location_100",
        published={},  # for this selection of places and classes there are no counts by place
    ),
    "domain_net": _downloaded(
        "DomainNet",
        image_tree.Layout(
            domains={name: (name,) for name in ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")},
            num_classes=345,
            roots=("domain_net",),
        ),
        short={
            "C": "clipart",
            "I": "infograph",
            "P": "painting",
            "Q": "quickdraw",
            "R": "real",
            "S": "sketch",
        },
        default_target="clipart",
        published={
            "clipart": 48129,
            "infograph": 51605,
            "painting": 72266,
            "quickdraw": 172500,
            "real": 172947,
            "sketch": 69128,
        },
    ),
    "folder": DatasetSpec(builder="dg_jax.data.trees:Folder", layout=image_tree.Layout()),
}


def get(name: str) -> DatasetSpec:
    """Returns the dataset called ``name``; an unknown name is a ``UserError`` that lists the known ones."""
    return DATASETS[dataset_name(name)]


def dataset_name(name: str) -> str:
    """Returns the name of a dataset, also from another spelling such as PACS; errors are those of :func:`get`."""
    found = names.find(name, DATASETS)
    if found is None:
        raise names.unknown("dataset", name, DATASETS)
    return found


def domains(name: str, data_dir: pathlib.Path | None) -> tuple[str, ...]:
    """Returns all domains of a dataset.

    Raises:
        UserError: they are read from ``data_dir``, which is missing or holds none.
    """
    spec = get(name)
    if spec.layout is None:
        return spec.domains
    if data_dir is None:
        raise errors.UserError(DATA_DIR_MISSING.format(name))
    return spec.domains or image_tree.domain_names(data_dir)


def full_name(name: str, domain: str, data_dir: pathlib.Path | None = None) -> str:
    """Returns the full name of a domain from another spelling, its short name, or the name of its folder.

    Args:
        name: of the dataset.
        domain: what was given; if it is unknown, it is returned as it is.
        data_dir: the folder whose subfolders are the domains, for a dataset without a list of domains.
    """
    spec = get(name)
    folders = spec.layout.domains if spec.layout else {}
    for full, others in folders.items():
        if names.find(domain, (full, *others)):
            return full
    known = spec.domains or (image_tree.domain_names(data_dir) if data_dir else ())
    return names.find(domain, known) or spec.short.get(domain.upper(), domain)


def module_of(name: str):
    """Imports and returns the module that makes a dataset."""
    return importlib.import_module(get(name).builder.partition(":")[0])


def builder_of(name: str):
    """Imports and returns the builder of a dataset, see :class:`DatasetSpec`."""
    return getattr(module_of(name), get(name).builder.partition(":")[2])
