"""The gradients of N losses, in four forms, and the facts that rules read from them.

=========== ================================================= ============================
form        what it is                                        facts
=========== ================================================= ============================
stacked     a tree like the parameters, leaves [N, *shape]    by component, inner products
accumulated a tree with a SumMinMax for each parameter        by component
two-pass    a TwoPass                                         inner products
on demand   an OnDemand                                       inner products
=========== ================================================= ============================
"""

import functools
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import _fast, _mesh

Form = Literal["stacked", "accumulated", "two_pass", "on_demand"]
Jacobian: TypeAlias = Any  # a pytree with arrays, SumMinMax, a TwoPass or an OnDemand


class SumMinMax(NamedTuple):
    """Sum, minimum and maximum of the N gradients of one parameter, in the memory of three gradients.

    Attributes:
        total: their sum ``[*shape]``; float32 if they are narrower.
        smallest: their minimum, component by component, ``[*shape]`` in their dtype.
        largest: their maximum, as ``smallest``.
        num_rows: N, an int, or an int32 scalar after ``jax.jit`` or a loop.
    """

    total: jax.Array
    smallest: jax.Array
    largest: jax.Array
    num_rows: int | jax.Array


class TwoPass(NamedTuple):
    """The Jacobian for rules on the Gramian: the inner products, and a function that combines the gradients.

    Attributes:
        gramian: inner products of the N gradients over the whole tree, ``[N, N]``, float32, or float64 where a
            parameter is float64.
        pull: takes weights ``[N]`` and returns ``(gradient,)``, the gradient of the weighted losses; made by
            :func:`jax.vjp`.
    """

    gramian: jax.Array
    pull: Any


class OnDemand(NamedTuple):
    """A two-pass Jacobian whose Gramian is computed only when it is asked for, within the same ``jit``.

    Attributes:
        gramian: a function without arguments that returns the inner products ``[N, N]``, as in :class:`TwoPass`.
        pull: as in :class:`TwoPass`.
    """

    gramian: Any
    pull: Any


def accumulate(gradient: optax.Updates, before: optax.Updates | None = None) -> optax.Updates:
    """Adds one gradient to those before it, for your own loop over the losses.

    :func:`~dg_jax.surgery.agr_sum`, :func:`~dg_jax.surgery.agr_rand`, :func:`~dg_jax.surgery.and_mask` (threshold 1),
    :func:`~dg_jax.surgery.deep_all` and :func:`~dg_jax.surgery.sum` take what it returns instead of stacked gradients,
    so that N gradients are never held at once. The result is the same to the bit, because stacked gradients are also
    summed in the order of their rows.

    Args:
        gradient: pytree like the parameters, leaves ``[*shape]``.
        before: what this function returned for the gradients so far; None for the first.

    Returns:
        The tree of ``gradient`` with a :class:`SumMinMax` for each leaf. Updates that take it cannot be differentiated.

    Raises:
        ValueError: the tree is empty, has a leaf that is not floating-point, or is not like those before; the leaf is
            named.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> accumulated = None
        >>> for x in (jnp.array([1.0, 2.0]), jnp.array([3.0, -2.0])):
        ...     gradient = jax.grad(lambda w, x: w @ x)(jnp.ones(2), x)
        ...     accumulated = surgery.accumulate(gradient, accumulated)
        >>> combiner = surgery.agr_sum()
        >>> gradient, state = combiner.update(accumulated, combiner.init(jnp.ones(2)))
        >>> print(gradient, state.agreement)
        [4. 0.] 0.5
    """
    if not jax.tree.leaves(gradient):
        raise ValueError("accumulate: the gradient has no leaves; give it one array per parameter")
    if any(map(is_accumulated, jax.tree.leaves(gradient, is_leaf=is_accumulated))):
        raise ValueError("accumulate: the gradient is accumulated already; give it as before=")
    check_floating(gradient)
    gradient = jax.tree.map(jnp.asarray, gradient)
    if before is None:
        return jax.tree.map(lambda row: SumMinMax(row.astype(wide(row.dtype)), row, row, 1), gradient)
    paths, paths_before = (
        [leaf_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_accumulated)]
        for tree in (gradient, before)
    )
    if paths != paths_before or form_of(before) != "accumulated":
        raise ValueError(
            f"accumulate: the gradient has the leaves {', '.join(paths)}, but before= has {', '.join(paths_before)}; "
            "it must be what accumulate returned for gradients of the same parameters"
        )
    return jax.tree_util.tree_map_with_path(_add, gradient, before)


def _add(path: Any, row: jax.Array, before: SumMinMax) -> SumMinMax:
    if before.smallest.shape != row.shape or before.smallest.dtype != row.dtype:
        raise ValueError(
            f"accumulate: {leaf_name(path)} is {row.dtype} {row.shape}, "
            f"but {before.smallest.dtype} {before.smallest.shape} in the gradients before"
        )
    return SumMinMax(
        before.total + row.astype(before.total.dtype),
        jnp.minimum(before.smallest, row),
        jnp.maximum(before.largest, row),
        before.num_rows + 1,
    )


def by_component(jacobian: Jacobian) -> Any:
    """Returns the facts by component: a tree like the parameters with a :class:`SumMinMax` for each."""
    if form_of(jacobian) == "accumulated":

        def without_derivative(node: SumMinMax) -> SumMinMax:
            total, smallest, largest = _no_derivative((node.total, node.smallest, node.largest))
            return SumMinMax(total, smallest, largest, node.num_rows)

        return jax.tree.map(without_derivative, jacobian, is_leaf=is_accumulated)

    def of_rows(rows: jax.Array) -> SumMinMax:
        total = _fast.over_rows(jnp.add, [row.astype(wide(row.dtype)) for row in rows])
        return SumMinMax(total, _fast.over_rows(jnp.minimum, rows), _fast.over_rows(jnp.maximum, rows), len(rows))

    return jax.tree.map(of_rows, jacobian)


@jax.custom_jvp
def _no_derivative(arrays: Any) -> Any:
    return arrays


@_no_derivative.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise ValueError(
        "an update that takes accumulated gradients cannot be differentiated; give form='stacked' or 'two_pass'"
    )


def gramian(stacked: optax.Updates, then_freed: bool = False, scales: jax.Array | None = None) -> jax.Array:
    """Returns the inner products ``[N, N]`` of the rows over the whole tree, leaf by leaf.

    Args:
        stacked: pytree of ``[N, *shape]``.
        then_freed: whether nothing else needs the gradients.
        scales: what the rows are divided by, ``[N]``; 1 by default.
    """
    dtype = widest(stacked)
    products: list[jax.Array] = [
        _fast.inner_products(leaf.reshape(len(leaf), -1), dtype, then_freed, scales)
        for leaf in jax.tree.leaves(stacked)
    ]
    return functools.reduce(jnp.add, products)


@jax.jit  # so that a call outside of jit does not trace the branches each time
def cosines_and_norms(jacobian: Jacobian) -> tuple[jax.Array, jax.Array]:
    """Returns cosines and norms: ⟨g_i, g_j⟩ = cosines[i, j] norms[i] norms[j].

    These are in range for gradients of any size, except two-pass ones, whose squares must be in range. A zero gradient
    has norm 0, and cosine 0 with all, also with itself.

    Returns:
        Cosines ``[N, N]`` and norms ``[N]``.
    """
    if isinstance(jacobian, TwoPass):
        products, scales = jacobian.gramian, jnp.ones_like(jnp.diagonal(jacobian.gramian))
    else:
        products, scales = _products_in_range(jacobian)
    squares = jnp.diagonal(products)
    lengths = jnp.sqrt(jnp.where(squares == 0, 1, squares))  # the root has no derivative at 0
    cosines = products / lengths[:, None] / lengths[None, :]
    return cosines, jnp.where(squares == 0, 0, lengths) * scales


def _products_in_range(stacked: optax.Updates) -> tuple[jax.Array, jax.Array]:
    """Returns inner products ``[N, N]`` of the rows divided by scales, and the scales ``[N]``.

    The scales are 1. Only if a square leaves the range of the dtype, one more pass makes them each row's largest entry.
    """
    dtype = widest(stacked)
    info = jnp.finfo(dtype)
    products = gramian(stacked)
    squares = jnp.diagonal(products)

    def rescaled() -> tuple[jax.Array, jax.Array]:
        rows = [leaf.reshape(len(leaf), -1).astype(dtype) for leaf in jax.tree.leaves(stacked)]
        largest = [jnp.max(jnp.abs(row), axis=1, initial=0) for row in rows]
        scales = jax.lax.stop_gradient(_fast.over_rows(jnp.maximum, largest))
        # XLA divides by multiplying with the reciprocal. Beyond this limit that is subnormal, and so zero.
        scales = jnp.minimum(jnp.where(scales == 0, 1, scales), (1 / info.tiny).astype(dtype))
        return gramian(stacked, scales=scales), scales

    in_range = jnp.all((squares > info.tiny / info.eps) & (squares < info.max * info.eps))
    in_scale: tuple[jax.Array, jax.Array] = jax.lax.cond(in_range, lambda: (products, jnp.ones_like(squares)), rescaled)
    return in_scale


def weighted_sum(jacobian: Jacobian, weights: jax.Array) -> optax.Updates:
    """Returns Σ weights[i] g_i: a tree of ``[*shape]``, each leaf in its own dtype, from weights ``[N]``."""
    if isinstance(jacobian, TwoPass):
        (gradient,) = jacobian.pull(_mesh.replicated(weights.astype(jacobian.gramian.dtype)))
        return gradient
    weights = _fast.computed_once(weights)

    def combine(rows: jax.Array) -> jax.Array:
        dtype = wide(rows.dtype)
        scaled = [row.astype(dtype) * weight for row, weight in zip(rows, weights.astype(dtype), strict=True)]
        return _fast.over_rows(jnp.add, scaled).astype(rows.dtype)

    return jax.tree.map(combine, jacobian)


def total(jacobian: Jacobian, weight: jax.Array | float) -> optax.Updates:
    """Returns weight · Σ g_i: a tree of ``[*shape]``, each leaf in its own dtype, of a Jacobian in any form."""
    if isinstance(jacobian, TwoPass):
        return weighted_sum(jacobian, jnp.full(len(jacobian.gramian), weight, jacobian.gramian.dtype))

    def of_leaf(fact: SumMinMax) -> jax.Array:
        return (fact.total * jnp.asarray(weight, fact.total.dtype)).astype(fact.smallest.dtype)

    return jax.tree.map(of_leaf, by_component(jacobian), is_leaf=is_accumulated)


def num_rows(jacobian: Jacobian) -> int | jax.Array:
    """Returns N."""
    if isinstance(jacobian, TwoPass):
        return len(jacobian.gramian)
    first = jax.tree.leaves(jacobian, is_leaf=is_accumulated)[0]
    return first.num_rows if is_accumulated(first) else len(first)


def form_of(jacobian: Jacobian) -> Form:
    """Returns which of the four forms a Jacobian has."""
    if isinstance(jacobian, OnDemand):
        return "on_demand"
    if isinstance(jacobian, TwoPass):
        return "two_pass"
    leaves = jax.tree.leaves(jacobian, is_leaf=is_accumulated)
    return "accumulated" if leaves and all(map(is_accumulated, leaves)) else "stacked"


def is_accumulated(leaf: Any) -> bool:
    """Returns whether this leaf of a Jacobian is a :class:`SumMinMax`."""
    return isinstance(leaf, SumMinMax)


def smallest(accumulated: Jacobian) -> optax.Updates:
    """Returns the minimum of accumulated gradients: a tree like the parameters, in the gradients' dtypes."""
    return jax.tree.map(lambda node: node.smallest, accumulated, is_leaf=is_accumulated)


def wide(dtype: Any) -> Any:
    """Returns the dtype in which sums of such leaves are computed: float32, or float64 for float64."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def widest(tree: Any) -> Any:
    """Returns float64 where a leaf is float64 (and 64 bits are enabled), else float32; the tree may be None."""
    tree = tree.gramian if isinstance(tree, TwoPass) else tree
    is_double = any(getattr(leaf, "dtype", type(leaf)) in (np.float64, float) for leaf in jax.tree.leaves(tree))
    return jax.dtypes.canonicalize_dtype(np.float64 if is_double else np.float32)


def leaf_name(path: Any) -> str:
    """Returns the name of the leaf at a path, for errors."""
    return jax.tree_util.keystr(path) or "the only leaf"


def check_floating(tree: Any) -> None:
    """Raises a ``ValueError`` that names the first leaf that is not a floating-point array."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not hasattr(leaf, "dtype"):
            raise ValueError(f"gradients: {leaf_name(path)} is a {type(leaf).__name__}, not an array; give arrays")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            dtype = "float0" if leaf.dtype == jax.dtypes.float0 else leaf.dtype
            raise ValueError(
                f"gradients: {leaf_name(path)} is {dtype}, but only floating-point arrays are combined; "
                "differentiate with respect to the others separately, or not at all"
            )
