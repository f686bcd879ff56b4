"""What all combiners share: checks, dtypes of states, meshes. A rule then is only its formula."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax.surgery import _jacobian, _mesh
from dg_jax.surgery._jacobian import Form, Jacobian, OnDemand, TwoPass

Rule = Callable[[Jacobian, Any, Any], tuple[optax.Updates, Any]]

_CURE = (
    "if the gradients are not vmapped, surgery.value_and_grads stacks them; optax.MultiSteps and optax.flatten belong "
    "after a combiner, not around it"
)


def combiner(
    name: str, init: Callable[[Any], Any], rule: Rule, forms: tuple[Form, ...]
) -> optax.GradientTransformationExtraArgs:
    """Makes an optax transformation from a rule.

    Args:
        name: its name in errors.
        init: takes the parameters, or None, and returns the state.
        rule: ``rule(jacobian, state, losses) -> (gradient, state)``, on a Jacobian of arrays that has been checked.
        forms: the forms of Jacobian that the rule takes.
    """

    def update(
        jacobian: Jacobian, state: Any, params: optax.Params | None = None, *, losses: Any = None, **extra: Any
    ) -> tuple[optax.Updates, Any]:
        del extra
        gradient, new_state = apply(name, rule, forms, jacobian, state, losses, params)
        return gradient, jax.tree.map(_in_dtype_of, new_state, state)

    def init_apart(params: Any) -> Any:
        """Returns a state whose leaves are all separate buffers: a step cannot donate one buffer twice."""
        return jax.tree.map(jnp.copy, init(params))

    return optax.GradientTransformationExtraArgs(init_apart, update)


def apply(
    name: str,
    rule: Rule,
    forms: tuple[Form, ...],
    jacobian: Jacobian,
    state: Any = (),
    losses: Any = None,
    params: optax.Params | None = None,
) -> tuple[optax.Updates, Any]:
    """Checks a Jacobian in any of its forms, and calls a rule on it, on any mesh."""
    if isinstance(jacobian, OnDemand) and "two_pass" in forms:
        jacobian = TwoPass(jacobian.gramian(), jacobian.pull)
    jacobian = _checked(jacobian, params, name, forms)
    if not isinstance(jacobian, TwoPass):
        on_any_mesh: Rule = _mesh.automatic(rule, jacobian, _shardings(jacobian))
        return on_any_mesh(jacobian, state, losses)
    gradient, new_state = rule(jacobian, state, losses)
    if params is not None:
        _check_shapes(gradient, params, name, stacked=False)
    return gradient, new_state


def random_key(key: int | jax.Array) -> jax.Array:
    """Returns a typed key as it is; for an integer, which may be traced, the key with this seed."""
    dtype = getattr(key, "dtype", None)
    if isinstance(key, int) or (dtype is not None and key.shape == () and jnp.issubdtype(dtype, jnp.integer)):
        try:
            return jax.random.key(key)
        except OverflowError:
            raise ValueError(f"key={key}: give an integer of at most 64 bits") from None
    if dtype is None or key.shape != () or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise ValueError(f"key={key!r}: give an integer, or one key of jax.random.key")
    return key


def check_integers(name: str, least: int, **settings: Any) -> None:
    """Raises a ``ValueError`` for a setting that is not an integer of at least ``least``."""
    for setting, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(
                f"{name}: {setting}={value}; it must be an integer of at least {least}; "
                "under optax.inject_hyperparams put it in static_args"
            )


def _shardings(jacobian: Jacobian) -> Callable[[Any], Any]:
    """Returns the shardings of gradient and state: a component lies where it was in its row, the state everywhere."""

    def of_leaf(leaf: Any, at: Any) -> Any:
        if _jacobian.is_accumulated(leaf):
            return at(*_mesh.spec_of(leaf.smallest))
        return at(*_mesh.spec_of(leaf)[1:])

    def of_result(at: Any) -> Any:
        gradient = jax.tree.map(lambda leaf: of_leaf(leaf, at), jacobian, is_leaf=_jacobian.is_accumulated)
        return gradient, at()

    return of_result


def _in_dtype_of(new: jax.Array, old: Any) -> jax.Array:
    return new if new.dtype == old.dtype else new.astype(old.dtype)


def _checked(jacobian: Jacobian, params: optax.Params | None, name: str, forms: tuple[Form, ...]) -> Jacobian:
    """Returns the Jacobian with JAX arrays as leaves.

    Raises:
        ValueError: it is not what the combiner takes; the leaf is named.
    """
    form = _jacobian.form_of(jacobian)
    leaves = jax.tree.leaves(jacobian, is_leaf=_jacobian.is_accumulated)
    if form == "stacked" and any(map(_jacobian.is_accumulated, leaves)):
        raise ValueError(f"{name}: some leaves are accumulated and others are not; accumulate whole gradients")
    if form not in forms:
        raise ValueError(f"{name} does not take form={form!r}, only {' or '.join(map(repr, forms))}")
    if isinstance(jacobian, TwoPass):
        _check_two_pass(jacobian, name)
        return jacobian
    is_stacked = form == "stacked"
    gradients = jacobian if is_stacked else _jacobian.smallest(jacobian)
    if not jax.tree.leaves(gradients):
        raise ValueError(f"{name}: the gradients have no leaves; give one array [N, ...] per parameter")
    _jacobian.check_floating(gradients)
    if params is not None:
        _check_shapes(gradients, params, name, stacked=is_stacked)
    if is_stacked:
        _check_rows(gradients, name)
    return jax.tree.map(jnp.asarray, jacobian)


def _check_shapes(gradients: optax.Updates, params: optax.Params, name: str, *, stacked: bool) -> None:
    """Raises if a gradient (where stacked: a row of it) does not have the shape of its parameter."""
    shapes = {_jacobian.leaf_name(path): jnp.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        leaf_name, shape = _jacobian.leaf_name(path), jnp.shape(leaf)
        if leaf_name not in shapes:
            raise ValueError(f"{name}: the gradients have a leaf {leaf_name}, the parameters have none there")
        wanted = shapes[leaf_name]
        if (shape[1:] if stacked else shape) != wanted or (stacked and not shape):
            needed = f"({', '.join(map(str, ('N', *wanted)))}{'' if wanted else ','})" if stacked else "the parameter's"
            raise ValueError(
                f"{name}: {leaf_name} has shape {shape} and its parameter {wanted}, "
                f"but the gradients of N losses have shape {needed}: {_CURE}"
            )


def _check_rows(stacked: optax.Updates, name: str) -> None:
    """Raises if leaves have no rows, or not as many as the first leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(stacked)
    first_path, first = leaves[0]
    for path, leaf in leaves:
        leaf_name, shape = _jacobian.leaf_name(path), jnp.shape(leaf)
        if not shape or not shape[0]:
            raise ValueError(f"{name}: {leaf_name} has shape {shape}; it needs a leading axis, a row per loss: {_CURE}")
        if shape[0] != len(first):
            raise ValueError(
                f"{name}: {leaf_name} has {shape[0]} rows, but {_jacobian.leaf_name(first_path)} has {len(first)}; "
                "all leaves need the same N"
            )


def _check_two_pass(jacobian: TwoPass, name: str) -> None:
    def is_masked(leaf: Any) -> bool:
        return isinstance(leaf, optax.MaskedNode)

    if any(map(is_masked, jax.tree.leaves(jacobian, is_leaf=is_masked))):
        raise ValueError(f"{name}: form='two_pass' fails in optax.masked and optax.partition; use form='stacked'")
    shape = jnp.shape(jacobian.gramian)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(f"{name}: the Gramian has shape {shape}; it must be [N, N]")
