"""Arrays on a mesh whose axes are Explicit, as those of ``jax.make_mesh`` are by default."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def automatic(function: Callable[..., Any], tree: Any, out: Callable[[Any], Any]) -> Callable[..., Any]:
    """Returns a function in which XLA decides on shardings, as on Auto axes, also where the axes are Explicit.

    Only so do reshapes and products of sharded arrays need no sharding for each step. Where no leaf of ``tree`` is on
    Explicit axes the function comes back as it is.

    Args:
        function: of arrays.
        tree: what it is given, to find the mesh.
        out: takes ``at``, which makes a sharding of a partition spec, and returns the shardings of what the function
            returns.
    """
    mesh = _explicit_mesh(tree)
    if mesh is None:
        return function

    def at(*spec: Any) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*spec))

    # Under jit the devices come from the arrays, elsewhere from a mesh that would have to be set.
    on_auto_axes: Callable[..., Any] = jax.jit(jax.sharding.auto_axes(function, out_sharding=out(at)))
    return on_auto_axes


def spec_of(array: jax.Array) -> tuple[Any, ...]:
    """Returns the mesh axes that each axis of an array on Explicit axes is sharded over."""
    return tuple(jax.typeof(array).sharding.spec)


def replicated(array: jax.Array) -> jax.Array:
    """Returns the array with all of it on each device of its Explicit mesh; any other array as it is."""
    mesh = _explicit_mesh(array)
    return array if mesh is None else jax.sharding.reshard(array, NamedSharding(mesh, PartitionSpec()))


def _explicit_mesh(tree: Any) -> Any:
    if not hasattr(jax.sharding, "auto_axes"):  # of a JAX without Explicit axes
        return None
    for leaf in jax.tree.leaves(tree):
        mesh = getattr(getattr(jax.typeof(leaf), "sharding", None), "mesh", None)
        if mesh is not None and jax.sharding.AxisType.Explicit in mesh.axis_types:
            return mesh
    return None
