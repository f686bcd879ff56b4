"""Objectives: the per-domain losses and their Jacobian.

An objective is built from a network's ``apply_fn`` and the method's settings, and is called as ``objective(params,
domain_batch, *, key, step)``. It returns losses ``[N]`` and their Jacobian, in the form that it was built for.
``fishr`` keeps something from step to step, and is a :class:`Stateful`.
"""

from dg_jax.objectives.erm import erm
from dg_jax.objectives.fishr import fishr
from dg_jax.objectives.iga import iga
from dg_jax.objectives.irm import irm
from dg_jax.objectives.loss import Stateful
from dg_jax.objectives.matched import coral, mmd
from dg_jax.objectives.mixup import mixup
from dg_jax.objectives.mldg import mldg
from dg_jax.objectives.pooled import pooled
from dg_jax.objectives.vrex import vrex

__all__ = ["Stateful", "coral", "erm", "fishr", "iga", "irm", "mixup", "mldg", "mmd", "pooled", "vrex"]
