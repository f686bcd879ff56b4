"""Splits an NNX module into parameters and a pure function."""

import dataclasses
import inspect
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import nnx

ApplyFn = Callable[..., chex.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Pure:
    """A network as a pure function of parameters and images; holds the arrays that are not parameters.

    Attributes:
        features_of: ``features_of(params, constants, images, *, key, train) -> features``, all layers but the last.
        logits_of: ``logits_of(params, constants, features) -> logits``, the last layer.
        constants: the arrays that are not parameters, such as frozen statistics, as nested dicts.
    """

    features_of: ApplyFn
    logits_of: ApplyFn
    constants: chex.ArrayTree

    def __call__(
        self,
        params: chex.ArrayTree,
        images: chex.Array,
        *,
        key: chex.PRNGKey | None = None,
        train: bool = False,
    ) -> chex.Array:
        """Returns logits ``[B, classes]`` of float images ``[B, H, W, C]``; dropout needs ``key`` if ``train``."""
        return self.head(params, self.features(params, images, key=key, train=train))

    def features(
        self,
        params: chex.ArrayTree,
        images: chex.Array,
        *,
        key: chex.PRNGKey | None = None,
        train: bool = False,
    ) -> chex.Array:
        """Returns the input of the last layer, ``[B, D]``; the arguments are those of a call."""
        return self.features_of(params, self.constants, images, key=key, train=train)

    def head(self, params: chex.ArrayTree, features: chex.Array) -> chex.Array:
        """Returns logits ``[B, classes]`` of features ``[B, D]``."""
        return self.logits_of(params, self.constants, features)


def split(module: nnx.Module) -> tuple[chex.ArrayTree, Pure]:
    """Splits a module into its parameters and a pure function of them.

    Args:
        module: has a method ``features(images, key=key, train=train)``, and a last layer that takes these features;
            ``last_layer`` is its name. The module's ``nnx.Param`` are the parameters. The function holds the other
            arrays, such as frozen statistics, as constants.

    Returns:
        ``(params, apply_fn)``: nested dicts of arrays, and ``apply_fn(params, images, *,
        key=None, train=False) -> logits [B, classes]``, with ``images`` float ``[B, H, W,
        C]``. ``key`` is a PRNG key for dropout, needed only with ``train=True``.
    """
    definition, params, others = nnx.split(module, nnx.Param, ...)  # type: ignore[misc]

    def features_of(params, constants, images, *, key, train):
        return nnx.merge(definition, params, constants).features(images, key=key, train=train)

    def logits_of(params, constants, features):
        merged = nnx.merge(definition, params, constants)
        return getattr(merged, merged.last_layer)(features)

    return nnx.to_pure_dict(params), Pure(features_of, logits_of, nnx.to_pure_dict(others))


def named(*trees: chex.ArrayTree) -> dict[str, chex.Array]:
    """Returns the arrays of parameters and constants by their names in a weights file.

    Example:
        >>> named({"dense": {"bias": 0.0}}, {"bn": {"mean": 1.0}})
        {'dense.bias': 0.0, 'bn.mean': 1.0}
    """
    leaves = (leaf for tree in trees for leaf in jax.tree.leaves_with_path(tree))
    return {jax.tree_util.keystr(path, simple=True, separator="."): array for path, array in leaves}


def with_key_and_train(function: ApplyFn) -> ApplyFn:
    """Returns a function that takes ``key`` and ``train``, and passes on those that ``function`` has as parameters.

    So ``apply`` of a Linen module and a plain ``function(params, examples)`` can be ``apply_fn``.
    """
    if isinstance(function, Pure):
        return function
    known = {
        name: parameter.kind is parameter.VAR_KEYWORD
        for name, parameter in inspect.signature(function).parameters.items()
    }
    taken = [name for name in ("key", "train") if known.get(name) is False]

    def apply_fn(params, examples, *, key=None, train=False):
        given = {"key": key, "train": train}
        return function(params, examples, **{name: given[name] for name in taken})

    return apply_fn


def computing_in(apply_fn: Pure, dtype: str) -> Pure:
    """Returns ``apply_fn`` with all arithmetic inside it in ``dtype``, say ``"bfloat16"``.

    Parameters and their gradients stay float32. Features and logits are float32 too.
    """

    def narrowed(arrays):
        return jax.tree.map(lambda array: array.astype(dtype), arrays)

    def features_of(params, constants, images, *, key, train):
        features = apply_fn.features_of(narrowed(params), constants, narrowed(images), key=key, train=train)
        return features.astype(jnp.float32)

    def logits_of(params, constants, features):
        return apply_fn.logits_of(narrowed(params), constants, narrowed(features)).astype(jnp.float32)

    return Pure(features_of, logits_of, apply_fn.constants)
