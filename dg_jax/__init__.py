"""Gradient surgery in JAX: combiners for the gradients of several losses.

The library part is :mod:`dg_jax.surgery`; ``python -m dg_jax.run`` trains the
networks of "Domain Generalization via Gradient Surgery" (ICCV 2021). Nothing is
imported here, so that ``import dg_jax.surgery`` costs no more than JAX and optax.
"""

__version__ = "0.1.0"
