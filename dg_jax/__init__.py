"""Gradient surgery in JAX: combiners for the gradients of several losses.

The library part is :mod:`dg_jax.surgery`; ``python -m dg_jax.run`` trains the
networks of "Domain Generalization via Gradient Surgery" (ICCV 2021). Nothing is
imported here, so that ``import dg_jax.surgery`` costs no more than JAX and optax.
``dg_jax.surgery`` is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "surgery"]

if TYPE_CHECKING:  # type checkers then refuse names that are not there
    from dg_jax import surgery
else:

    def __getattr__(name):
        if name != "surgery":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module("dg_jax.surgery")

    def __dir__():
        return sorted({*globals(), *__all__})
