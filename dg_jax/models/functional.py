"""From an NNX module to parameters and a pure function."""

from collections.abc import Callable

import chex
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
