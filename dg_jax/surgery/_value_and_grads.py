"""Turns a loss, or several, into N losses and their Jacobian in one of its four forms."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol, get_args

import jax
import jax.numpy as jnp

from dg_jax.surgery import _fast, _jacobian, _mesh
from dg_jax.surgery._jacobian import Form, Jacobian, OnDemand, TwoPass

ValueAndJacobian = Callable[..., tuple[Any, Jacobian]]
GramOf = Callable[[str], bool]


class Loss(Protocol):
    """One loss: ``loss_fn(params, *row) -> scalar``, with ``has_aux`` ``(scalar, aux)``."""

    def __call__(self, params: Any, /, *args: Any, **kwargs: Any) -> Any: ...


class Losses(Protocol):
    """N losses: ``losses_fn(params, *args) -> [N]``, with ``has_aux`` ``([N], aux)``."""

    def __call__(self, params: Any, /, *args: Any, **kwargs: Any) -> Any: ...


# From so many components on a gradient is larger than activations: AlexNet's dense layers have 17 and 38 million.
_LARGE = 1e6


def value_and_grads(
    loss_fn: Loss, form: Form = "stacked", has_aux: bool = False, gram_of: GramOf | None = None
) -> ValueAndJacobian:
    r"""Turns the loss of one domain into the losses of N domains and their Jacobian.

    .. math:: \ell_i = L(\theta, x_i), \qquad g^{(i)} = \nabla_\theta L(\theta, x_i), \qquad i = 1, \dots, N

    ================ ============================ ============================== ==================================
    form             combiners                    memory beside activations      cost
    ================ ============================ ============================== ==================================
    ``stacked``      all                          N gradients; under ``jit`` one N forward and backward passes
                                                  leaf's at a time for
                                                  ``agr_sum``, ``deep_all``
    ``accumulated``  ``agr_sum``, ``agr_rand``,   3 gradients                    the same, one domain after another
                     ``and_mask``, ``deep_all``,
                     ``sum``
    ``two_pass``     rules on the Gramian,        one leaf's N gradients         one more backward pass of all
                     ``group_dro``, ``sum``,                                     domains
                     ``deep_all``
    ``on_demand``    as ``two_pass``              as ``two_pass``                with :func:`every` one backward pass
                                                                                 of all domains in most steps
    ================ ============================ ============================== ==================================

    ``stacked`` keeps the activations of one domain on a CPU and of all N elsewhere, ``accumulated`` those of one,
    ``two_pass`` those of all N until its second pass. :func:`jax.checkpoint` around the loss trades them for time.
    Measurements: docs/forms.md.

    Args:
        loss_fn: ``loss_fn(params, *row) -> scalar``, the loss of one domain; with ``has_aux`` ``(scalar, aux)``.
        form: which form of Jacobian is returned.
        has_aux: whether the loss returns more than a scalar.
        gram_of: for ``two_pass`` and ``on_demand``, takes the name of a leaf, such as ``"dense.kernel"``, and returns
            whether its gradients are part of the inner products; by default all are. The first pass then goes back to
            these leaves only.

    Returns:
        ``fn(params, *stacked) -> (losses [N], jacobian)``; every leaf of ``stacked`` has a leading axis N, also keys of
        random losses. With ``has_aux`` it is ``((losses, aux), jacobian)``, and aux has a leading axis N.

    Raises:
        ValueError: ``form`` is none of the four, or ``gram_of`` is given with one that has no Gramian; when called,
            nothing is stacked, leaves disagree in N (the leaf is named), or ``gram_of`` takes no leaf.

    Note:
        ``two_pass`` saves memory under ``jit`` only. It does not work with ``optax.partition`` and ``optax.masked``,
        and takes ``vmap(grad)`` of the loss. ``on_demand`` cannot leave the ``jit`` that it is made in.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum(params * x)
        >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])  # two domains
        >>> losses, jacobian = surgery.value_and_grads(loss)(jnp.ones(2), x)
        >>> print(losses, jacobian.shape)
        [3. 7.] (2, 2)
        >>> losses, jacobian = surgery.value_and_grads(loss, form="two_pass")(jnp.ones(2), x)
        >>> print(jacobian.gramian[0, 1])
        11.0
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=has_aux)
    # In each form a result is (loss, gradient), with has_aux ((loss, aux), gradient), and is stacked as it is.

    def by_vmap(params: Any, *stacked: Any) -> Any:
        return jax.vmap(value_and_grad, in_axes=(None, *(0 for _ in stacked)))(params, *stacked)

    def stacked_form(params: Any, *stacked: Any) -> Any:
        return _fast.by_vmap_or_unrolled(by_vmap, unrolled(loss_fn, has_aux), params, *stacked)

    def accumulated_form(params: Any, *stacked: Any) -> Any:
        return _one_after_the_other(_num_rows(stacked), lambda _, i: value_and_grad(params, *_row(stacked, i)))

    def two_pass_form(params: Any, *stacked: Any) -> Any:
        if gram_of is not None:
            values, jacobian = on_demand_form(params, *stacked)
            return values, TwoPass(jacobian.gramian(), jacobian.pull)
        values, gradients = by_vmap(params, *stacked)
        return values, TwoPass(_gramian(gradients), on_demand_form(params, *stacked)[1].pull)

    def on_demand_form(params: Any, *stacked: Any) -> Any:
        def all_losses(p: Any) -> Any:
            return jax.vmap(loss_fn, in_axes=(None, *(0 for _ in stacked)))(p, *stacked)

        values, pull = _vjp(all_losses, params, has_aux)
        some, whole = _split(params, gram_of)

        def of_some(some: Any, *row: Any) -> Any:
            value = loss_fn(whole(some), *row)
            return value[0] if has_aux else value

        def gramian() -> Any:
            return _gramian(jax.vmap(jax.grad(of_some), in_axes=(None, *(0 for _ in stacked)))(some, *stacked))

        return values, OnDemand(gramian, pull)

    def value_and_grads_fn(params: Any, *stacked: Any) -> Any:
        _check_rows(stacked)
        return chosen(params, *stacked)

    chosen = _form(form, gram_of, stacked_form, accumulated_form, two_pass_form, on_demand_form)
    return value_and_grads_fn


def unrolled(loss_fn: Loss, has_aux: bool = False) -> ValueAndJacobian:
    """Like :func:`value_and_grads` with ``form="stacked"``, but takes one row after the other on any device.

    It is for losses that are slow under ``vmap``, and keeps the activations of one row at a time.
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=has_aux)

    def rows(params: Any, *stacked: Any) -> Any:
        results = [value_and_grad(params, *_row(stacked, 0))]
        for i in range(1, _num_rows(stacked)):
            # XLA would run the forward passes of all rows first, and so keep the activations of all. Large gradients
            # may wait: then the combiner can take one leaf after the other, and not all are held at once.
            small = [leaf for leaf in jax.tree.leaves(results[-1]) if 0 < leaf.size < _LARGE]
            results.append(value_and_grad(params, *_row(stacked, i + _zero_after(small))))
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return rows


def value_and_jacobian(
    losses_fn: Losses | Sequence[Loss], form: Form = "stacked", has_aux: bool = False, gram_of: GramOf | None = None
) -> ValueAndJacobian:
    r"""Turns N losses of the same parameters, such as those of tasks or of PDE residuals, into values and a Jacobian.

    .. math:: \ell = (L_1(\theta), \dots, L_N(\theta)), \qquad g^{(i)} = \nabla_\theta L_i(\theta)

    A function that returns all losses takes one forward pass, and N backward passes through all of it: use it for
    losses that share most of their work. In a list, each function is differentiated by itself, without the work that
    only the others need; under ``jit`` XLA computes shared work once.

    Args:
        losses_fn: ``losses_fn(params, *args) -> [N]``, or a list of N functions ``(params, *args) -> scalar``; with
            ``has_aux`` each returns ``(losses, aux)``.
        form: which form of Jacobian is returned, as in :func:`value_and_grads`.
        has_aux: whether the functions return more than losses.
        gram_of: which leaves are part of the inner products, as in :func:`value_and_grads`.

    Returns:
        ``fn(params, *args) -> (losses [N], jacobian)``; with ``has_aux`` ``((losses, aux), jacobian)``, where for a
        list aux is a tuple of N.

    Raises:
        ValueError: ``form`` is none of the four, ``gram_of`` is given with one that has no Gramian, or the list is
            empty; when called, the losses are not a vector, or ``gram_of`` takes no leaf.

    Note:
        ``two_pass`` saves memory under ``jit`` only. It does not work with ``optax.partition`` and ``optax.masked``.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> def losses(params, x):  # of two tasks
        ...     return jnp.array([jnp.sum(params * x), jnp.sum(params**2)])
        >>> values, jacobian = surgery.value_and_jacobian(losses)(jnp.ones(2), jnp.array([1.0, 3.0]))
        >>> print(values, jacobian)
        [4. 2.] [[1. 3.]
         [2. 2.]]
    """
    functions = None if callable(losses_fn) else tuple(losses_fn)
    if functions == ():
        raise ValueError("value_and_jacobian: the list of losses is empty")

    def all_losses(params: Any, *args: Any) -> Any:
        if functions is None:
            return losses_fn(params, *args)  # type: ignore[operator]
        results = [_as_vector(function(params, *args), has_aux) for function in functions]
        if not has_aux:
            return jnp.concatenate(results)
        return jnp.concatenate([loss for loss, _ in results]), tuple(aux for _, aux in results)

    def pull_all(params: Any, *args: Any) -> Any:
        """Returns all losses, with aux, their common pull-back and N."""
        values, pull = _vjp(lambda p: all_losses(p, *args), params, has_aux)
        losses = values[0] if has_aux else values
        if not losses.size:
            raise ValueError("losses: the function returned an empty vector; return [N], N at least 1")
        return values, pull, len(losses)

    def rows(params: Any, pull: Any, n: int, *args: Any) -> Any:
        if functions is None:
            return jax.vmap(pull)(jnp.eye(n, dtype=_jacobian.widest(params)))[0]
        gradients = [jax.grad(function, has_aux=has_aux)(params, *args) for function in functions]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[g[0] if has_aux else g for g in gradients])

    def stacked_form(params: Any, *args: Any) -> Any:
        values, pull, n = pull_all(params, *args)
        return values, rows(params, pull, n, *args)

    def accumulated_form(params: Any, *args: Any) -> Any:
        values, pull, n = pull_all(params, *args)

        def row(k: int, i: Any) -> Any:
            if functions is None:
                return (), pull((jnp.arange(n) == i).astype(_jacobian.widest(params)))[0]
            function = functions[k]
            _, pull_one = _vjp(lambda p: _as_vector(function(p, *args), has_aux), params, has_aux)
            return (), pull_one(jnp.asarray(k == i, _jacobian.widest(params))[None])[0]

        return values, _one_after_the_other(n, row)[1]

    def two_pass_form(params: Any, *args: Any) -> Any:
        values, jacobian = on_demand_form(params, *args)
        return values, TwoPass(jacobian.gramian(), jacobian.pull)

    def on_demand_form(params: Any, *args: Any) -> Any:
        values, pull, n = pull_all(params, *args)
        if gram_of is None:
            return values, OnDemand(lambda: _gramian(rows(params, pull, n, *args)), pull)
        some, whole = _split(params, gram_of)

        def of_some(some: Any) -> Any:
            values = all_losses(whole(some), *args)
            return values[0] if has_aux else values

        return values, OnDemand(lambda: _gramian(jax.jacrev(of_some)(some)), pull)

    return _form(form, gram_of, stacked_form, accumulated_form, two_pass_form, on_demand_form)


def _as_vector(value: Any, has_aux: bool) -> Any:
    """Returns what a function of one loss returned, with the loss as a vector of one."""
    loss = value[0] if has_aux and isinstance(value, tuple) else value
    if jnp.shape(loss) != ():
        raise ValueError(f"losses: a function of the list returned shape {jnp.shape(loss)}; return one scalar each")
    vector = jnp.asarray(loss)[None]
    return (vector, value[1]) if has_aux else vector


def _form(form: Form, gram_of: GramOf | None, *in_order: ValueAndJacobian) -> ValueAndJacobian:
    """Returns the function of the form that is asked for."""
    functions: dict[str, ValueAndJacobian] = dict(zip(get_args(Form), in_order, strict=True))
    if form not in functions:
        raise ValueError(f"form={form!r}: give {', '.join(map(repr, functions))}")
    if gram_of is not None and form in ("stacked", "accumulated"):
        raise ValueError(f"gram_of is for form='two_pass' and form='on_demand', which have a Gramian; form={form!r}")
    return functions[form]


def _split(params: Any, gram_of: GramOf | None) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Returns the leaves that the Gramian is taken of, and a function that makes all parameters from them."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    taken = [number for number, name in enumerate(names) if gram_of is None or gram_of(name)]
    if leaves and not taken:
        raise ValueError(f"gram_of takes no leaf; it was asked for {', '.join(map(repr, names))}")

    def whole(some: list[Any]) -> Any:
        given = dict(zip(taken, some, strict=True))
        return jax.tree.unflatten(structure, [given.get(number, leaf) for number, (_, leaf) in enumerate(leaves)])

    return [leaves[number][1] for number in taken], whole


def _vjp(losses_fn: Callable[[Any], Any], params: Any, has_aux: bool) -> tuple[Any, Any]:
    """Returns what the function returns, and the pull-back of its losses, for weights in the dtype of the Gramian."""

    def wide_losses(p: Any) -> tuple[jax.Array, Any]:
        values = losses_fn(p)
        losses = values[0] if has_aux and isinstance(values, tuple) else values
        if not hasattr(losses, "dtype") or not jnp.issubdtype(losses.dtype, jnp.floating) or jnp.ndim(losses) != 1:
            what = f"{losses.dtype} {losses.shape}" if hasattr(losses, "dtype") else f"a {type(losses).__name__}"
            raise ValueError(f"losses: the function returned {what}; return one floating-point vector, [N]")
        return _mesh.replicated(losses.astype(_jacobian.widest(params))), values

    _, pull, values = jax.vjp(wide_losses, params, has_aux=True)
    return values, pull


def _gramian(stacked: Any) -> Any:
    if not jax.tree.leaves(stacked):
        raise ValueError("two_pass: the parameters have no leaves")
    of_rows = functools.partial(_jacobian.gramian, then_freed=True)
    return _mesh.automatic(of_rows, stacked, lambda at: at())(stacked)


def _check_rows(stacked: tuple[Any, ...]) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(stacked)
    if not leaves:
        raise ValueError("value_and_grads: nothing is stacked; give arguments with a leading axis of N rows")
    for path, leaf in leaves:
        if jnp.ndim(leaf) == 0 or len(leaf) != _num_rows(stacked) or not len(leaf):
            raise ValueError(
                f"value_and_grads: argument {jax.tree_util.keystr(path)} has shape {jnp.shape(leaf)}, "
                f"the first has {_num_rows(stacked)} rows; all need the same leading axis N, at least 1"
            )


def _num_rows(stacked: tuple[Any, ...]) -> int:
    first = jax.tree.leaves(stacked)[0]
    return len(first) if jnp.ndim(first) else 0


def _row(stacked: Any, number: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, number, keepdims=False), stacked)


def _one_after_the_other(n: int, value_and_grad: Callable[[int, Any], tuple[Any, Any]]) -> tuple[Any, Any]:
    """Accumulates n gradients and stacks their values; never more than one gradient is held beside those accumulated.

    Args:
        n: their number.
        value_and_grad: value and gradient of a row. It gets the number of the row as an int, and again as what may be
        an array.
    """
    value, gradient = value_and_grad(0, 0)
    values, accumulated = [value], _jacobian.accumulate(gradient)
    # XLA would compute all gradients first and then fuse their sums; on a CPU it drops optimization barriers before
    # that. So each sum is a loop of one turn, which also gives the number of the next row. XLA must not know that the
    # count starts with 1, or it would unroll the loop.
    count = 1 + _zero_after([leaf for leaf in jax.tree.leaves((value, gradient)) if leaf.size][:1])
    for k in range(1, n):
        value, gradient = value_and_grad(k, count)
        values.append(value)

        def add(carry: Any, gradient: Any = gradient) -> Any:
            return carry[0] + 1, _jacobian.accumulate(gradient, carry[1])

        def is_due(carry: Any, k: int = k) -> Any:
            return carry[0] == k

        count, accumulated = jax.lax.while_loop(is_due, add, (count, accumulated))
    return jax.tree.map(lambda *rows: jnp.stack(rows), *values), accumulated


def _zero_after(arrays: list[jax.Array]) -> jax.Array | int:
    """Returns 0, but XLA has to compute the arrays first: it does not know that no number is above infinity."""
    return sum((array.ravel()[0] > jnp.inf).astype(jnp.int32) for array in arrays)
