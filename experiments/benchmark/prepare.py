"""How long a downloaded dataset takes to prepare and to open.

python -m experiments.benchmark.generated_tree ~/data/generated
python -m experiments.benchmark prepare ~/data/generated --dataset=pacs
"""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Sequence

import tyro

from dg_jax import config
from dg_jax.data import prepared


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Prepares a dataset in a temporary folder, then opens twice the parts that a run on the default target reads."""

    folder: tyro.conf.Positional[pathlib.Path]
    """The folder of the download."""
    dataset: str = "pacs"
    """Which dataset it is."""


def main(flags: Sequence[str]) -> None:
    """Measures and prints."""
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark prepare")
    defaults = config.defaults(arguments.dataset)
    parts: dict[str, tuple[str, ...]] = dict.fromkeys(defaults.sources, ("train", "validation"))
    with tempfile.TemporaryDirectory() as folder:
        for what in ("prepared and opened", "opened", "opened"):
            start = time.monotonic()
            data = prepared.load(
                arguments.dataset,
                {**parts, defaults.target: ("test",)},
                image_size=defaults.data.image_size,
                split_seed=0,
                data_dir=arguments.folder,
                prepared_dir=pathlib.Path(folder),
            )
            pictures = sum(len(part.label) for of_domain in data.domains.values() for part in of_domain.values())
            print(f"{what} in {time.monotonic() - start:.1f} s: {pictures} pictures, all of a run")
