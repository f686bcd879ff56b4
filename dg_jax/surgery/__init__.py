"""Gradient surgery: optax transformations that make one gradient of the gradients of several losses.

A combiner is the first link of an ``optax.chain``. Its ``update`` takes a Jacobian, the gradients of N losses, in one
of three forms that :func:`value_and_grads` and :func:`value_and_jacobian` make, and returns one gradient.
"""

from dg_jax.surgery._agr import AgrRandState, AgrSumState, agr_rand, agr_sum, agreement
from dg_jax.surgery._deep_all import deep_all
from dg_jax.surgery._group_dro import GroupDROState, group_dro
from dg_jax.surgery._jacobian import Form, SumMinMax, TwoPass, accumulate
from dg_jax.surgery._pcgrad import PCGradState, pcgrad
from dg_jax.surgery._sum import sum
from dg_jax.surgery._value_and_grads import value_and_grads, value_and_jacobian

__all__ = [
    "AgrRandState",
    "AgrSumState",
    "Form",
    "GroupDROState",
    "PCGradState",
    "SumMinMax",
    "TwoPass",
    "accumulate",
    "agr_rand",
    "agr_sum",
    "agreement",
    "deep_all",
    "group_dro",
    "pcgrad",
    "sum",
    "value_and_grads",
    "value_and_jacobian",
]


def __dir__() -> list[str]:
    return __all__
