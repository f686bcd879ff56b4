"""Settings of single methods: one group of flags for each method that has any.

A group is named after its objective or combiner; its fields are arguments of that function.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class AgrSum:
    """Agr-Sum."""

    zeros: Literal["agree", "conflict", "abstain"] = "agree"
    """What a component that is zero counts as: agree (all N zero agree, eq. 2 as written), conflict (any zero is a
    conflict, as the authors' released code counts) or abstain (a zero has no vote)."""


@dataclasses.dataclass(frozen=True)
class AgrRand:
    """Agr-Rand."""

    zeros: Literal["agree", "conflict", "abstain"] = "agree"
    """As for agr-sum."""


@dataclasses.dataclass(frozen=True)
class Irm:
    """Invariant risk minimisation."""

    penalty_weight: float = 100.0
    """Weight of the penalty after annealing (DomainBed's irm_lambda)."""
    anneal_steps: int | None = None
    """Steps with weight 1 before that; then Adam's state is reset (DomainBed's irm_penalty_anneal_iters). By default
    half of --iterations, and where a run is resumed what it began with."""


@dataclasses.dataclass(frozen=True)
class Mldg:
    """Meta-learning domain generalization."""

    beta: float = 1.0
    """Weight β of the meta-test loss (DomainBed's mldg_beta)."""
    second_order: bool = False
    """Differentiate through the inner step, which the released version leaves out."""
    pairing: Literal["split", "circle"] = "split"
    """One meta-test domain for all others (DomainBed today), or for each domain the next in a random circle (DomainBed
    until April 2022, so probably the paper)."""


@dataclasses.dataclass(frozen=True)
class Mixup:
    """Inter-domain mixup."""

    alpha: float = 0.2
    """Both parameters of λ's Beta distribution (DomainBed's mixup_alpha)."""


@dataclasses.dataclass(frozen=True)
class GroupDro:
    """Group distributionally robust optimization."""

    step_size: float = 0.01
    """Step size of the domain weights (DomainBed's groupdro_eta)."""
