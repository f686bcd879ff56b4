"""Combiners: optax transformations from stacked gradients to one gradient.

A combiner's ``update`` takes a pytree whose every leaf has a leading axis of N
rows, one gradient a row, and returns a pytree without that axis. It is the first
link of an ``optax.chain`` or the aggregator of
``optax.experimental.aggregating.process``.

``agr_sum`` and ``agr_rand`` also take what ``accumulate`` makes of gradients that come
one at a time, so that who loops over her losses never holds N gradients.
"""

from dg_jax.surgery.accumulate import Accumulated, accumulate
from dg_jax.surgery.agr_rand import AgrRandState, agr_rand
from dg_jax.surgery.agr_sum import AgrSumState, agr_sum
from dg_jax.surgery.deep_all import deep_all
from dg_jax.surgery.group_dro import GroupDROState, group_dro
from dg_jax.surgery.pcgrad import PCGradState, pcgrad

__all__ = [
    "Accumulated",
    "AgrRandState",
    "AgrSumState",
    "GroupDROState",
    "PCGradState",
    "accumulate",
    "agr_rand",
    "agr_sum",
    "deep_all",
    "group_dro",
    "pcgrad",
]
