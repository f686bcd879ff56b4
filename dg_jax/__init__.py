"""Gradient surgery in JAX: combiners for the gradients of several losses.

The library part is :mod:`dg_jax.surgery`; ``python -m dg_jax.run`` trains the
networks of "Domain Generalization via Gradient Surgery" (ICCV 2021). Nothing is
imported here, so that ``import dg_jax.surgery`` loads little more than JAX and optax.
The names in ``__all__`` are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "fit", "load", "surgery"]

if TYPE_CHECKING:  # so that type checkers refuse unknown names
    from dg_jax import surgery
    from dg_jax.fitting import fit
    from dg_jax.predict import load
else:

    def __getattr__(name):
        if name == "surgery":
            return importlib.import_module("dg_jax.surgery")
        if name in ("fit", "load"):
            from dg_jax.command_line import packages

            packages.check_installed(f"dg_jax.{name}", "train")
            return getattr(importlib.import_module("dg_jax.fitting" if name == "fit" else "dg_jax.predict"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
