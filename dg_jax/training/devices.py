"""Where the arrays of a training are stored: on one device, or on several along the mesh axis ``data``.

Each domain's images are split over the devices, and so are the components of gradients and of the optimizer's state.
Each device holds all parameters. A step adds up the N gradients over the devices; each device keeps the sums of its own
components. Then the step gathers the new parameters; docs/devices.md has the bytes. XLA derives the rest from these
constraints, so the numbers are those of one device, up to the rounding of sums in another order.
"""

import contextlib
import itertools
import os
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dg_jax import errors, surgery
from dg_jax.config import RunConfig
from dg_jax.data import feed
from dg_jax.training import backend

AXIS = "data"
MOST_OF_CPU = 128  # devices that a CPU is taken for; with a thousand XLA fails
_FEWEST = 1024  # components; smaller arrays are whole on all devices, as a shorter message is no quicker


class Layout:
    """Which array is stored on which devices.

    Attributes:
        mesh: the devices; ``None`` for one device, where nothing has to be placed.
    """

    def __init__(self, devices: Sequence[jax.Device]):
        """Takes the devices, whose number divides each domain's batch."""
        self.mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,)) if len(devices) > 1 else None

    @property
    def count(self) -> int:
        """How many devices there are."""
        return self.mesh.size if self.mesh else 1

    def in_use(self) -> contextlib.AbstractContextManager:
        """Returns a context in which programs are traced for these devices."""
        return jax.set_mesh(self.mesh) if self.mesh else contextlib.nullcontext()

    def feed(self, batches: feed.Feed) -> feed.Feed:
        """Returns the feed with its values on these devices: images in memory on all, batches from disk split."""
        if self.mesh is None:
            return batches
        if batches.is_constant:
            held = self.everywhere(batches.like)
            return batches._replace(like=held, values=lambda first: itertools.repeat(held))
        part, key = batches.like
        shardings = jax.tree.map(lambda leaf: self._at(None, AXIS), part), self._at()

        def shape(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        return batches._replace(
            like=jax.tree.map(shape, (part, key), shardings),
            values=lambda first: (_put(value, shardings) for value in batches.values(first)),
        )

    def everywhere(self, tree: chex.ArrayTree) -> chex.ArrayTree:
        """Puts arrays on all devices, outside of compiled programs."""
        return tree if self.mesh is None else _put(tree, jax.tree.map(lambda leaf: self._at(), tree))

    def split(self, state: chex.ArrayTree, like: chex.ArrayTree) -> chex.ArrayTree:
        """Places the first state of a training, or a saved one, as a step expects it, with the shapes of ``like``."""
        if self.mesh is None:
            return state
        state = jax.tree.map(lambda leaf, flat: leaf.reshape(flat.shape), state, like)
        return _put(state, jax.tree.map(self._of_state, state))

    def whole(self, state: chex.ArrayTree, like: chex.ArrayTree) -> chex.ArrayTree:
        """Returns a state as :meth:`split` took it, on all devices, in the shapes of ``like``."""
        if self.mesh is None:
            return state
        gathered = jax.jit(lambda tree: tree, out_shardings=self._at())(state)
        return jax.tree.map(lambda leaf, shaped: leaf.reshape(shaped.shape), gathered, like)

    def state(self, state: chex.ArrayTree) -> chex.ArrayTree:
        """Inside a step: places the new state as the next step expects it, flat arrays split, others on all devices."""
        return self._constrain(state, self._of_state)

    def images(self, domain_batch: dict[str, chex.Array]) -> dict[str, chex.Array]:
        """Inside a step: splits arrays ``[N, B, ...]`` along B."""
        return self._constrain(domain_batch, lambda leaf: self._at(None, AXIS))

    def examples(self, tree: chex.ArrayTree) -> chex.ArrayTree:
        """Inside a program: splits arrays ``[B, ...]`` along B if the number of devices divides B."""
        return self._constrain(tree, lambda leaf: self._at(AXIS) if len(leaf) % self.count == 0 else self._at())

    def on_all(self, tree: chex.ArrayTree) -> chex.ArrayTree:
        """Inside a program: puts arrays on all devices, such as parameters and what goes to the host."""
        return self._constrain(tree, lambda leaf: self._at())

    def jacobian(self, jacobian: Any) -> Any:
        """Inside a step: makes the leaves of any form of Jacobian flat except for N, and splits them by component."""

        def flat_leaf(leaf: Any) -> Any:
            if isinstance(leaf, surgery.SumMinMax):
                total, smallest, largest = self.flat((leaf.total, leaf.smallest, leaf.largest))
                return surgery.SumMinMax(total, smallest, largest, leaf.num_rows)
            return self._constrain(leaf.reshape(len(leaf), -1), lambda rows: self._by_component(rows, 1))

        if isinstance(jacobian, surgery.TwoPass):
            pull = jacobian.pull
            return jacobian._replace(pull=jax.tree_util.Partial(lambda weights: (self.flat(pull(weights)[0]),)))
        return jax.tree.map(flat_leaf, jacobian, is_leaf=lambda leaf: isinstance(leaf, surgery.SumMinMax))

    def flat(self, tree: chex.ArrayTree) -> chex.ArrayTree:
        """Inside a step: makes the leaves of a tree like the parameters flat, and splits them by component."""
        return self._constrain(jax.tree.map(lambda leaf: leaf.reshape(-1), tree), self._of_state)

    def _of_state(self, leaf: Any) -> NamedSharding:
        return self._by_component(leaf, 0) if leaf.ndim == 1 else self._at()

    def _by_component(self, leaf: Any, axis: int) -> NamedSharding:
        size = leaf.shape[axis]
        is_split = size >= _FEWEST and size % self.count == 0
        return self._at(*[None] * axis, AXIS) if is_split else self._at()

    def _constrain(self, tree: chex.ArrayTree, sharding: Any) -> chex.ArrayTree:
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding(leaf)), tree)

    def _at(self, *spec: Any) -> NamedSharding:
        assert self.mesh is not None
        return NamedSharding(self.mesh, PartitionSpec(*spec))


ONE = Layout([])


def of_run(config: RunConfig) -> Layout:
    """Returns the layout that a run asks for, or its default.

    Raises:
        UserError: there are fewer devices, or their number does not divide the batch.
    """
    known, asked, batch_size = jax.devices(), config.machine.devices, config.optimisation.batch_size
    dividing = [count for count in range(1, len(known) + 1) if batch_size % count == 0]
    if asked is None and jax.process_count() == 1:
        return Layout(known[: 1 if backend.is_cpu() else dividing[-1]])
    count = len(known) if asked in (None, "all") else asked
    assert isinstance(count, int)
    if count > len(known):
        most = f"; a CPU is taken for {MOST_OF_CPU} at most" if count > MOST_OF_CPU and backend.is_cpu() else ""
        raise errors.UserError(f"--devices={count}: there are {len(known)} ({known[0].platform}){most}")
    if count < len(known) and jax.process_count() > 1:
        raise errors.UserError(f"--devices={count}: the processes together have {len(known)}; leave it out")
    if batch_size % count:
        up, down = -(-batch_size // count) * count, batch_size // count * count
        fewer = f"--devices={dividing[-1]}, or " if jax.process_count() == 1 else ""
        raise errors.UserError(
            f"--batch-size={batch_size} cannot be split over {count} devices; give {fewer}--batch-size={up}"
            + (f" or {down}" if down else "")
        )
    return Layout(known[:count])


def make_of_cpu(config: RunConfig) -> None:
    """Makes XLA split a CPU into as many devices as a run asks for; without effect once JAX is in use."""
    asked = config.machine.devices
    if (
        isinstance(asked, int)
        and 1 < asked <= MOST_OF_CPU
        and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", "")
    ):
        with contextlib.suppress(RuntimeError):  # JAX is in use: of_run reports too few devices
            jax.config.update("jax_num_cpu_devices", asked // (config.machine.num_processes or 1))


def _put(tree: chex.ArrayTree, shardings: Any) -> chex.ArrayTree:
    """Places arrays, and keys as their data, as JAX can put only data on devices of other processes."""

    def put(leaf: Any, sharding: NamedSharding) -> jax.Array:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = jax.device_put(np.asarray(jax.random.key_data(leaf)), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, sharding)

    return jax.tree.map(put, tree, shardings)


def flat(optimizer: optax.GradientTransformationExtraArgs, layout: Layout) -> optax.GradientTransformationExtraArgs:
    """Returns a chain that begins with a combiner; on several devices it works on flat arrays.

    Flat arrays can be split over any number of devices that divides their size, whatever their shapes. On one device
    the chain stays as it is: with flat arrays XLA fuses less, and a step takes more memory.
    """
    if layout.mesh is None:
        return optimizer

    def init(params: optax.Params) -> optax.OptState:
        return optimizer.init(jax.tree.map(jnp.ravel, params))

    def update(
        jacobian: Any, state: optax.OptState, params: optax.Params | None = None, **extra: Any
    ) -> tuple[optax.Updates, optax.OptState]:
        updates, state = optimizer.update(layout.jacobian(jacobian), state, layout.flat(params), **extra)
        return jax.tree.map(lambda update, leaf: update.reshape(leaf.shape), updates, params), state

    return optax.GradientTransformationExtraArgs(init, update)
