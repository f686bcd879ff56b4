"""The optional packages, and what a program says if they are missing."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence

from dg_jax import errors

# Extra of pyproject.toml -> package that our modules import -> its name in an import.
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

    A program calls this before it imports them. A broken package passes: the error of its import says more.
    """
    missing = _missing(extras)
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        raise SystemExit(errors.UserError.exit_code)


def check_installed(what: str, *extras: str) -> None:
    """Raises a ``UserError`` that begins with ``what`` if a package of these extras is missing."""
    missing = _missing(extras)
    if missing:
        raise errors.UserError(f"{what}: {missing}")


def _missing(extras: Sequence[str]) -> str:
    """Returns which packages of some extras are missing, and how to get them; an empty text if none is."""
    missing = {
        extra: [package for package, module in PACKAGES[extra].items() if not is_installed(module)] for extra in extras
    }
    packages = ", ".join(package for of_extra in missing.values() for package in of_extra)
    needed = ",".join(extra for extra, of_extra in missing.items() if of_extra)
    return packages and f'not installed: {packages}; run: pip install -e ".[{needed}]"'


@contextlib.contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Turns the import error of a missing package into a ``UserError``; all other errors pass.

    Args:
        what: what needs the package, such as ``"figures need"``.
        extra: the extra that contains it.
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
    except ModuleNotFoundError:  # its parent package is missing
        return False
