"""Arrays on a mesh of several devices."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec


def automatic(function: Callable[..., Any], tree: Any, out: Callable[[Any], Any]) -> Callable[..., Any]:
    """Returns a function in which XLA decides on shardings, as on Auto axes, also where the axes are Explicit.

    The axes of ``jax.make_mesh`` are Explicit by default. There reshapes and products of sharded arrays need a sharding
    for each step. If no leaf of ``tree`` is on Explicit axes, the function is returned as it is.

    Args:
        function: a function of arrays.
        tree: its arguments, in which the mesh is found.
        out: takes ``at``, which makes a sharding from a partition spec, and returns the shardings of the function's
            results.
    """
    mesh = _explicit_mesh(tree)
    if mesh is None:
        return function

    def at(*spec: Any) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*spec))

    # Under jit the devices come from the arrays; without it a mesh would have to be set.
    on_auto_axes: Callable[..., Any] = jax.jit(jax.sharding.auto_axes(function, out_sharding=out(at)))
    return on_auto_axes


def spec_of(array: jax.Array) -> tuple[Any, ...]:
    """Returns the mesh axes that each axis of an array on Explicit axes is sharded over."""
    return tuple(jax.typeof(array).sharding.spec)


def replicated(array: jax.Array) -> jax.Array:
    """Returns the array replicated on all devices of its Explicit mesh; any other array as it is."""
    mesh = _explicit_mesh(array)
    return array if mesh is None else jax.sharding.reshard(array, NamedSharding(mesh, PartitionSpec()))


def is_on_a_mesh(tree: Any) -> bool:
    """Whether a leaf may lie in parts on several devices: within ``jax.set_mesh``, and with Explicit axes."""
    manual = jax.sharding.AxisType.Manual  # inside of shard_map an array is one device's own
    return any(axis != manual for mesh in _meshes(tree) for axis in mesh.axis_types)


def _explicit_mesh(tree: Any) -> Any:
    explicit = (mesh for mesh in _meshes(tree) if jax.sharding.AxisType.Explicit in mesh.axis_types)
    return next(explicit, None)


def _meshes(tree: Any) -> Iterator[Any]:
    if hasattr(jax.sharding, "auto_axes"):  # an older JAX has no Explicit axes
        for leaf in jax.tree.leaves(tree):
            mesh = getattr(getattr(jax.typeof(leaf), "sharding", None), "mesh", None)
            if mesh is not None:
                yield mesh
