"""What the rules by component share: the result leaf by leaf, and the agreement that they log."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _fast, _jacobian
from dg_jax.surgery._jacobian import Jacobian

# Takes the N rows of a leaf ``[*shape]``, in float32 or wider, and returns the result ``[*shape]``.
OfLeaf = Callable[[list[jax.Array]], jax.Array]


class AgreementState(NamedTuple):
    """What the last update saw.

    Attributes:
        agreement: share of components with Φ = 1, scalar in [0, 1]; 1 before the first update. With ``zeros="abstain"``
            of Agr-Sum only components that are not zero in every row count.
    """

    agreement: jax.Array


def combiner(name: str, of_leaf: OfLeaf) -> optax.GradientTransformationExtraArgs:
    """Makes a combiner for stacked gradients from a function of the rows of one leaf.

    Args:
        name: its name in errors.
        of_leaf: computes the result of each leaf by itself.
    """

    def rule(jacobian: Jacobian, state: AgreementState, losses: Any) -> tuple[optax.Updates, AgreementState]:
        def result(stacked: jax.Array) -> jax.Array:
            return of_leaf(rows_of(stacked)).astype(stacked.dtype)

        return jax.tree.map(result, jacobian), AgreementState(agreement(jacobian))

    return _combiner.combiner(name, init, rule, ("stacked",))


def init(params: Any) -> AgreementState:
    """Returns the state before the first update."""
    return AgreementState(jnp.ones([], _jacobian.widest(params)))


def rows_of(stacked: jax.Array) -> list[jax.Array]:
    """Returns the rows of one leaf, in float32, or in float64 where it is float64."""
    return [row.astype(_jacobian.wide(row.dtype)) for row in stacked]


def agreement(jacobian: Jacobian) -> jax.Array:
    """Returns the share of components in which all N signs are the same, of stacked or accumulated gradients."""
    facts = jax.tree.leaves(_jacobian.by_component(jacobian), is_leaf=_jacobian.is_accumulated)
    dtype = _jacobian.widest(facts)
    counts = [_fast.count(jnp.sign(fact.smallest) == jnp.sign(fact.largest)) for fact in facts]
    agreeing = functools.reduce(jnp.add, [count.astype(dtype) for count in counts])
    share: jax.Array = agreeing / max(sum(fact.total.size for fact in facts), 1)
    return share


def is_broken(rows: list[jax.Array]) -> jax.Array:
    """Returns in which components a row is NaN or infinite. These are not masked: they must be seen."""
    largest = _fast.over_rows(jnp.maximum, [jnp.abs(row) for row in rows])
    return ~jnp.isfinite(largest)
