"""The optional packages, and what a program says where they are missing."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence

from dg_jax import errors

# Extra of pyproject.toml -> the packages that our modules import -> what they are imported as.
PACKAGES = {
    "train": {
        "flax": "flax",
        "orbax-checkpoint": "orbax.checkpoint",
        "tensorflow-datasets": "tensorflow_datasets",
        "array-record": "array_record",
        "importlib-resources": "importlib_resources",
        "grain": "grain",
        "safetensors": "safetensors",
        "pillow": "PIL",
        "tyro": "tyro",
        "rich": "rich",
    },
    "analysis": {"scipy": "scipy", "matplotlib": "matplotlib", "jinja2": "jinja2"},
    "benchmark": {"torch": "torch", "torchjd": "torchjd"},
    "cluster": {"ray": "ray"},
    "tensorboard": {"tensorboardX": "tensorboardX"},
}


def exit_unless_installed(*extras: str) -> None:
    """Ends the program with exit code 2 and one line on stderr if a package of these extras is missing.

    A program calls this before it imports them. A package that is there but broken passes: the error
    of its import says more.
    """
    missing = _missing(extras)
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        raise SystemExit(errors.UserError.exit_code)


def check_installed(what: str, *extras: str) -> None:
    """Raises a ``UserError`` if a package of these extras is missing, which ``what`` needs."""
    missing = _missing(extras)
    if missing:
        raise errors.UserError(f"{what}: {missing}")


def _missing(extras: Sequence[str]) -> str:
    """The packages of some extras that are missing, and how to get them; nothing if all are there."""
    missing = {
        extra: [package for package, module in PACKAGES[extra].items() if not is_installed(module)] for extra in extras
    }
    packages = ", ".join(package for of_extra in missing.values() for package in of_extra)
    needed = ",".join(extra for extra, of_extra in missing.items() if of_extra)
    return packages and f'not installed: {packages}; run: pip install -e ".[{needed}]"'


@contextlib.contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Turns the import error of a missing package into a ``UserError``, and no other error.

    Args:
        what: who needs the package, such as ``"figures need"``.
        extra: the extra that has it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES[extra].values():
            raise
        raise errors.UserError(f'{what} {error.name}; run: pip install -e ".[{extra}]"') from error


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in is missing
        return False
