"""From an NNX module to parameters and a pure function."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import nnx

ApplyFn = Callable[..., chex.Array]


def split(module: nnx.Module) -> tuple[chex.ArrayTree, ApplyFn]:
    """Splits a module into its parameters and a pure function of them.

    Args:
        module: called as ``module(images, key=key, train=train) -> logits``. Its
            ``nnx.Param`` are the parameters; the function holds its other arrays, such as
            frozen statistics, as constants.

    Returns:
        ``(params, apply_fn)``: nested dicts of arrays, and ``apply_fn(params, images, *,
        key=None, train=False) -> logits [B, classes]``, with ``images`` float ``[B, H, W,
        C]``. ``key`` is a PRNG key for dropout, needed only with ``train=True``.
    """
    definition, state, *constants = nnx.split(module, nnx.Param, ...)

    def apply_fn(params, images, *, key=None, train=False):
        return nnx.merge(definition, params, *constants)(images, key=key, train=train)

    return nnx.to_pure_dict(state), apply_fn


def computing_in(apply_fn: ApplyFn, dtype: str) -> ApplyFn:
    """Returns ``apply_fn`` with all arithmetic inside it in ``dtype``, say ``"bfloat16"``.

    Parameters come in as they are kept, in float32, and their gradients go out so; logits
    are float32 too.
    """

    def apply_in_dtype(params, images, *, key=None, train=False):
        params, images = jax.tree.map(lambda array: array.astype(dtype), (params, images))
        return apply_fn(params, images, key=key, train=train).astype(jnp.float32)

    return apply_in_dtype
