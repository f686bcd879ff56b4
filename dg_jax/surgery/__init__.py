"""Gradient surgery: optax transformations that combine the gradients of several losses into one.

A combiner is the first link of an ``optax.chain``. Its ``update`` takes a Jacobian (the gradients of N losses) and
returns one gradient. :func:`value_and_grads` and :func:`value_and_jacobian` make a Jacobian in one of four forms.
"""

from dg_jax.surgery._agr import AgrRandState, agr_rand, agr_sum, agreement
from dg_jax.surgery._aligned_mtl import aligned_mtl
from dg_jax.surgery._and_mask import and_mask
from dg_jax.surgery._cagrad import cagrad
from dg_jax.surgery._components import AgreementState
from dg_jax.surgery._conflict_free import conflict_free
from dg_jax.surgery._deep_all import deep_all
from dg_jax.surgery._diagnostics import Diagnostics, diagnostics
from dg_jax.surgery._dualproj import dualproj
from dg_jax.surgery._every import EveryState, every
from dg_jax.surgery._fair_grad import fair_grad
from dg_jax.surgery._gga_l import GgaLState, gga_l
from dg_jax.surgery._grad_drop import GradDropState, grad_drop
from dg_jax.surgery._grad_vac import GradVacState, grad_vac
from dg_jax.surgery._gramian import GramianState
from dg_jax.surgery._group_dro import GroupDROState, group_dro
from dg_jax.surgery._imtl_g import imtl_g
from dg_jax.surgery._jacobian import Form, OnDemand, SumMinMax, TwoPass, accumulate
from dg_jax.surgery._krum import krum
from dg_jax.surgery._mgda import mgda
from dg_jax.surgery._nash_mtl import nash_mtl
from dg_jax.surgery._pcgrad import PCGradState, pcgrad
from dg_jax.surgery._sand_mask import sand_mask
from dg_jax.surgery._sum import sum
from dg_jax.surgery._trimmed_mean import median, trimmed_mean
from dg_jax.surgery._upgrad import upgrad
from dg_jax.surgery._value_and_grads import value_and_grads, value_and_jacobian
from dg_jax.surgery._weighted import weighted

__all__ = [
    "AgrRandState",
    "AgreementState",
    "Diagnostics",
    "EveryState",
    "Form",
    "GgaLState",
    "GradDropState",
    "GradVacState",
    "GramianState",
    "GroupDROState",
    "OnDemand",
    "PCGradState",
    "SumMinMax",
    "TwoPass",
    "accumulate",
    "agr_rand",
    "agr_sum",
    "agreement",
    "aligned_mtl",
    "and_mask",
    "cagrad",
    "conflict_free",
    "deep_all",
    "diagnostics",
    "dualproj",
    "every",
    "fair_grad",
    "gga_l",
    "grad_drop",
    "grad_vac",
    "group_dro",
    "imtl_g",
    "krum",
    "median",
    "mgda",
    "nash_mtl",
    "pcgrad",
    "sand_mask",
    "sum",
    "trimmed_mean",
    "upgrad",
    "value_and_grads",
    "value_and_jacobian",
    "weighted",
]


def __dir__() -> list[str]:
    return __all__
