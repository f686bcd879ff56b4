"""Made-up stacked gradients of AlexNet's size, as a tree and as one flat vector."""

import functools
from typing import Literal

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import models

Form = Literal["tree", "flat"]

_CLASSES = 7  # of PACS


@functools.cache
def alexnet_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of AlexNet's parameters by path."""
    params = jax.eval_shape(lambda: models.create("alexnet", _CLASSES, jax.random.key(0))[0])
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(params)}


ALEXNET = 57_032_519


def flat(rows: int, components: int) -> np.ndarray:
    """Draws float32 ``[rows, components]`` in which every row conflicts with those next to it (cosine -0.04)."""
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((rows, components), dtype=np.float32)
    common = rng.standard_normal(components, dtype=np.float32)
    for i, row in enumerate(stack):
        row += (-1) ** i * np.float32(0.2) * common
    return stack


def tree(stack: np.ndarray) -> dict[str, np.ndarray]:
    """Cuts ``[rows, components]`` into the leaves of AlexNet, ``[rows, *shape]``, as views.

    If the number of components is not AlexNet's, the leaves are flat and of
    proportional size.
    """
    rows, components = stack.shape
    shapes = alexnet_shapes()
    ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in shapes.values()])
    ends = ends * components // ends[-1]
    pieces = np.split(stack, ends[:-1], axis=1)
    same_size = components == ALEXNET
    return {
        name: piece.reshape(rows, *(shape if same_size else (-1,)))
        for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
    }


def on_device(form: Form, stack: np.ndarray) -> chex.ArrayTree:
    """Returns the gradients as one array ``[rows, components]``, or as a tree."""
    return jnp.asarray(stack) if form == "flat" else jax.tree.map(jnp.asarray, tree(stack))


def joined(gradient: chex.ArrayTree) -> np.ndarray:
    """Returns the leaves of one gradient as one vector, in the order of :func:`tree`."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in gradient.values()])
