"""The settings of single methods: one group of flags for each method that has any.

A group is named after an average, or after an objective or combiner, of which its fields are arguments.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class AgrSum:
    """Agr-Sum."""

    zeros: Literal["agree", "conflict", "abstain"] = "agree"
    """How a zero in a component counts: agree (all N zero agree, eq. 2 as written), conflict (any zero is a
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
    half of --iterations; a resumed run keeps its first value."""


@dataclasses.dataclass(frozen=True)
class Vrex:
    """V-REx."""

    penalty_weight: float = 10.0
    """Weight of the penalty after annealing (DomainBed's vrex_lambda)."""
    anneal_steps: int | None = None
    """As for irm (DomainBed's vrex_penalty_anneal_iters)."""


@dataclasses.dataclass(frozen=True)
class Iga:
    """IGA."""

    penalty_weight: float = 1000.0
    """Weight of the penalty (DomainBed's penalty)."""


@dataclasses.dataclass(frozen=True)
class Coral:
    """CORAL."""

    penalty_weight: float = 1.0
    """Weight of the penalty (DomainBed's mmd_gamma)."""


@dataclasses.dataclass(frozen=True)
class Mmd:
    """MMD."""

    penalty_weight: float = 1.0
    """Weight of the penalty (DomainBed's mmd_gamma)."""


@dataclasses.dataclass(frozen=True)
class Fishr:
    """Fishr."""

    penalty_weight: float = 1000.0
    """Weight of the penalty after annealing (DomainBed's lambda)."""
    anneal_steps: int | None = None
    """Steps without the penalty; otherwise as for irm (DomainBed's penalty_anneal_iters)."""
    ema: float = 0.95
    """How much of the earlier variances is kept at each step."""


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


@dataclasses.dataclass(frozen=True)
class GradVac:
    """GradVac."""

    beta: float = 0.5
    """How fast the target cosines follow the measured cosines."""


@dataclasses.dataclass(frozen=True)
class Upgrad:
    """UPGrad."""

    preference: tuple[float, ...] | None = None
    """A weight for each source, in the order of --domains. By default all have the same."""


@dataclasses.dataclass(frozen=True)
class Dualproj:
    """DualProj."""

    preference: tuple[float, ...] | None = None
    """As for upgrad."""


@dataclasses.dataclass(frozen=True)
class Cagrad:
    """CAGrad."""

    c: float = 0.5
    """How far the result may be from the mean gradient, as a fraction of its norm."""
    preference: tuple[float, ...] | None = None
    """As for upgrad."""


@dataclasses.dataclass(frozen=True)
class AlignedMtl:
    """Aligned-MTL."""

    scale: Literal["min", "median", "rmse"] = "min"
    """Which eigenvalue of the Gramian all get: the smallest, the lower median, or rmse, their mean."""
    preference: tuple[float, ...] | None = None
    """As for upgrad."""


@dataclasses.dataclass(frozen=True)
class FairGrad:
    """FairGrad."""

    alpha: float = 1.0
    """The fairness: near 0 it is the sum, 1 is Nash-MTL; larger values favour sources with small gradients."""


@dataclasses.dataclass(frozen=True)
class Krum:
    """Krum."""

    byzantine: int | None = None
    """How many sources may be arbitrarily wrong, at most three less than there are; must be given."""
    selected: int = 1
    """How many gradients are averaged."""


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A sum with fixed weights."""

    weights: tuple[float, ...] | None = None
    """A weight for each source, in the order of --domains; must be given."""


@dataclasses.dataclass(frozen=True)
class AndMask:
    """AND-mask."""

    threshold: float = 1.0
    """A component is kept if the mean of its signs has at least this size; 1 demands that all agree."""
    rescale: bool = True
    """Whether the kept components of a tensor are divided by the share that is kept."""


@dataclasses.dataclass(frozen=True)
class SandMask:
    """SAND-mask."""

    threshold: float = 0.5
    """As for and-mask; below 1."""
    steepness: float = 10.0
    """How fast a component's weight grows with the agreement (DomainBed's k)."""


@dataclasses.dataclass(frozen=True)
class GradDrop:
    """GradDrop."""

    leak: float = 0.0
    """How much is kept of the entries with the other sign, from 0 to 1."""


@dataclasses.dataclass(frozen=True)
class GgaL:
    """GGA-L."""

    gamma: float = 1e-3
    """Size of the noise, in the gradient's unit, if the mean cosine is 0."""


@dataclasses.dataclass(frozen=True)
class TrimmedMean:
    """Trimmed mean."""

    trim: int = 1
    """How many of the largest and of the smallest entries of a component are left out."""


@dataclasses.dataclass(frozen=True)
class Ema:
    """A moving average of the parameters."""

    decay: float = 0.99
    """How much of the average is kept at each step; the first steps are averaged equally."""


@dataclasses.dataclass(frozen=True)
class Swad:
    """The mean of the parameters in a valley of the validation loss; keeps eight copies of them by default."""

    n_converge: int = 3
    """The valley begins at a validation whose loss is the lowest of this many from it on."""
    n_tolerance: int = 6
    """The valley ends before this many losses in a row that are too high."""
    tolerance_ratio: float = 0.3
    """A loss above 1 + this times the mean of the first n-converge is too high (0.2 for VLCS in the paper)."""
