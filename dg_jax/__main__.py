"""``python -m dg_jax`` and the program ``dg-jax`` are ``python -m dg_jax.run``."""

import sys

from dg_jax.command_line import packages


def main() -> int:
    """Runs the command line and returns its exit code."""
    packages.exit_unless_installed("train")
    from dg_jax import run

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
