"""The methods by name: a strategy is an objective and a combiner.

A new combiner is one file in ``surgery/`` and one line here; a new objective is one file in ``objectives/`` and one
line here. JAX is only imported when a method is built, so that the names can be listed quickly.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from dg_jax import errors
from dg_jax.reading import names


@dataclasses.dataclass(frozen=True)
class Strategy:
    """An objective and a combiner.

    Attributes:
        objective: name of a function in :mod:`dg_jax.objectives`.
        combiner: name of a function in :mod:`dg_jax.surgery`.
    """

    objective: str
    combiner: str


_PAPER = {
    "deep_all": Strategy("pooled", "deep_all"),
    "agr_sum": Strategy("erm", "agr_sum"),
    "agr_rand": Strategy("erm", "agr_rand"),
    "pcgrad": Strategy("erm", "pcgrad"),
    "irm": Strategy("irm", "deep_all"),
    "mldg": Strategy("mldg", "deep_all"),
    "mixup": Strategy("mixup", "deep_all"),
    "group_dro": Strategy("erm", "group_dro"),
}
PAPER = tuple(_PAPER)  # the columns of the paper's Table 1

_ON_THE_GRAMIAN = (
    "grad_vac",
    "mgda",
    "upgrad",
    "dualproj",
    "cagrad",
    "imtl_g",
    "conflict_free",
    "aligned_mtl",
    "nash_mtl",
    "fair_grad",
    "krum",
    "weighted",
)
_BY_COMPONENT = ("and_mask", "sand_mask", "grad_drop", "gga_l", "trimmed_mean", "median")

STRATEGIES = (
    _PAPER
    | {name: Strategy(name, "deep_all") for name in ("vrex", "iga", "coral", "mmd", "fishr")}
    | {name: Strategy("erm", name) for name in ("sum", *_ON_THE_GRAMIAN, *_BY_COMPONENT)}
)

# Objectives whose losses jump at their setting anneal_steps, where the state of the optimizer is reset.
ANNEALED = ("irm", "vrex", "fishr")

# Objectives that make one gradient of all source domains.
OF_ONE_ROW = ("pooled", "coral", "mmd")

# The forms of Jacobian that a combiner takes, or that an objective of one row makes. Other objectives make all three.
FORMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(OF_ONE_ROW, ("stacked",)),
    "deep_all": ("stacked", "accumulated", "two_pass"),
    "agr_sum": ("stacked", "accumulated"),
    "agr_rand": ("stacked", "accumulated"),
    "pcgrad": ("stacked", "two_pass"),
    "group_dro": ("stacked", "two_pass"),
    "sum": ("stacked", "accumulated", "two_pass"),
    **dict.fromkeys(_ON_THE_GRAMIAN, ("stacked", "two_pass")),
    **dict.fromkeys(_BY_COMPONENT, ("stacked",)),
    "and_mask": ("stacked", "accumulated"),  # accumulated with threshold 1 only
}


def get(name: str, combiner: str | None = None) -> Strategy:
    """Returns the strategy called ``name``, with another combiner if one is given.

    Raises:
        UserError: the name is unknown; the message lists the known ones.
    """
    strategy = STRATEGIES[full_name(name)]
    return strategy if combiner is None else Strategy(strategy.objective, full_combiner_name(combiner))


def full_name(name: str) -> str:
    """Returns the full name of a strategy in any spelling, such as AgrSum; an unknown one is a ``UserError``."""
    found = names.find(name, STRATEGIES)
    if found is None:
        raise names.unknown("strategy", name, STRATEGIES)
    return found


def full_combiner_name(name: str) -> str:
    """Returns the full name of a combiner in any spelling; an unknown one is a ``UserError``."""
    combiners = dict.fromkeys(strategy.combiner for strategy in STRATEGIES.values())
    found = names.find(name, combiners)
    if found is None:
        raise names.unknown("combiner", name, combiners)
    return found


def make_objective(name: str, apply_fn, settings: Mapping[str, Any], **offered: Any):
    """Builds an objective.

    Args:
        name: its name.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        settings: its own settings.
        offered: arguments for any objective; this one gets those that its signature names.

    Returns:
        A :class:`dg_jax.objectives.Stateful`; most objectives keep nothing in it.

    Raises:
        TypeError: the objective has no such setting.
        UserError: the objective needs features, and the network gives none.
    """
    from dg_jax import objectives

    factory = getattr(objectives, name)
    if "features_fn" not in inspect.signature(factory).parameters:
        return objectives.Stateful.of(_made(factory, settings, offered, apply_fn))
    if not hasattr(apply_fn, "features"):
        raise errors.UserError(
            f"--strategy={name} needs features, but this network gives only logits; use a network of "
            f"dg_jax.models, or make objectives.{name}(features_fn, head_fn) yourself"
        )
    return objectives.Stateful.of(_made(factory, settings, offered, apply_fn.features, apply_fn.head))


def make_combiner(name: str, settings: Mapping[str, Any], **offered: Any):
    """Builds a combiner, as :func:`make_objective` builds an objective."""
    from dg_jax import surgery

    return _made(getattr(surgery, name), settings, offered)


def _made(factory, settings: Mapping[str, Any], offered: Mapping[str, Any], *arguments):
    wanted = inspect.signature(factory).parameters
    return factory(*arguments, **settings, **{name: value for name, value in offered.items() if name in wanted})
