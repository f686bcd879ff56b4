"""Losses and stacked gradients of one loss over several domains."""

from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

Form = Literal["auto", "vmap", "unrolled"]


def stacked_value_and_grad(loss_fn: Callable[..., chex.Array], form: Form = "auto") -> Callable:
    """Turns a loss of one domain into losses and stacked gradients of N domains.

    Args:
        loss_fn: ``loss_fn(params, *row) -> scalar``, the loss of one domain.
        form: ``"vmap"`` is the definition, ``vmap`` over the domains. ``"unrolled"``
            writes the N gradients one after the other and gives the same numbers up to
            rounding; it is faster on CPUs, where ``vmap`` makes the kernel gradients of
            convolutions into slow grouped ones. ``"auto"`` takes ``"unrolled"`` when
            JAX's default backend is the CPU and ``"vmap"`` elsewhere.

    Returns:
        ``fn(params, *stacked) -> (losses [N], stacked gradients)``; every leaf of
        ``stacked`` has a leading axis N, every leaf of the gradients is ``[N, *shape]``.

    Raises:
        ValueError: ``form`` is none of the three.

    Example:
        >>> import jax.numpy as jnp
        >>> def loss(w, x):
        ...     return jnp.sum(w * x)
        >>> losses, gradients = stacked_value_and_grad(loss)(jnp.ones(2), jnp.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> print(losses, gradients.shape)
        [3. 7.] (2, 2)
    """
    if form not in ("auto", "vmap", "unrolled"):
        raise ValueError(f"form={form!r}: give one of 'auto', 'vmap', 'unrolled'")
    value_and_grad = jax.value_and_grad(loss_fn)

    def by_vmap(params, *stacked):
        return jax.vmap(value_and_grad, in_axes=(None, *(0 for _ in stacked)))(params, *stacked)

    def unrolled(params, *stacked):
        n = len(jax.tree.leaves(stacked)[0])
        results: list = []
        for i in range(n):
            row = jax.tree.map(lambda leaf: leaf[i], stacked)  # noqa: B023
            results.append(value_and_grad(params, *(_after(results[-1], row) if results else row)))
        return jax.tree.map(lambda *rows: jnp.stack(rows), *results)

    def by_backend(params, *stacked):
        chosen = unrolled if jax.default_backend() == "cpu" else by_vmap
        return chosen(params, *stacked)

    return {"vmap": by_vmap, "unrolled": unrolled, "auto": by_backend}[form]


def _after(result: chex.ArrayTree, row: chex.ArrayTree) -> chex.ArrayTree:
    """Returns ``row``, to be had only once ``result`` is there.

    So domains are worked off one by one; else XLA keeps the activations of all in memory
    at once. It drops ``optimization_barrier`` on CPUs, so the row is made to depend on the
    result in a way that it does not see through.
    """
    token = sum(jnp.ravel(leaf)[0] for leaf in jax.tree.leaves(result))
    never = jnp.isnan(token) & (token == 0)

    def hold(leaf):
        plain = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        held = jnp.where(never, jnp.zeros_like(plain), plain)
        return jax.random.wrap_key_data(held) if plain is not leaf else held

    return jax.tree.map(hold, row)
