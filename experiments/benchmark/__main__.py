"""The command line: ``python -m experiments.benchmark NAME [flags]``."""

import importlib
import logging
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train")

from dg_jax import errors
from dg_jax.reading import names

# Each is a module of this package with ``main(arguments) -> None``.
BENCHMARKS = {
    "combiners": "the combiners on gradients of AlexNet's size",
    "limit": "every combiner, over the least time of its memory traffic",
    "family": "the rules on the Gramian, against TorchJD",
    "step": "a whole training step of each strategy",
    "forms": "a training step of each combiner in each form of Jacobian",
    "cheaper": "steps that keep the rule's weights, or use the Gramian of one layer",
    "devices": "communication, memory and time of a step on several devices",
    "run": "whole runs of dg_jax.run, and the parts of their start",
    "input": "images from the prepared dataset to the device",
    "gpu": "all that is measured on a GPU, in one command",
    "prepare": "preparing and opening a downloaded dataset",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one benchmark and returns its exit code: 0, or 2 for bad input."""
    name, *flags = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print("usage: python -m experiments.benchmark NAME [flags]  (NAME --help shows its flags)\n")
        print("\n".join(f"  {known:<10} {what}" for known, what in BENCHMARKS.items()))
        return 0
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        if name not in BENCHMARKS:
            raise names.unknown("benchmark", name, BENCHMARKS)
        with packages.needed(f"{name} compares with PyTorch and needs", "benchmark"):
            module = importlib.import_module(f"experiments.benchmark.{name}")
        module.main(flags)
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
