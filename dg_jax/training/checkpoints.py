"""Orbax checkpoints of the last states and of the best parameters."""

import contextlib
import dataclasses
import gc
import io
import json
import pathlib
import shutil
import sys
import time
import zlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from dg_jax import errors
from dg_jax.training import devices, drive, files, processes, step
from dg_jax.training.selection import Selected, Selection

_ABSENT_BEFORE_GONE = 10  # checks in a row, a tenth of a second apart


class Checkpoints:
    """``checkpoints/last/<step>``: whole states to go on from. ``checkpoints/best/<step>``: the selected network.

    A last checkpoint also holds the best parameters, so it alone is enough to resume.
    During a run the last two are kept, in case the later one is damaged.
    """

    def __init__(self, folder: pathlib.Path, layout: devices.Layout = devices.ONE):
        self._start, self._layout = time.monotonic(), layout
        self._folder = folder.absolute()
        self._remove_unfinished()
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        if jax.process_count() > 1:  # each process by itself, in its own folder
            own = jax.process_index()
            alone = ocp.options.MultiprocessingOptions(
                primary_host=own, active_processes={own}, barrier_sync_key_prefix=str(own)
            )
            options = dataclasses.replace(options, multiprocessing_options=alone, create=False)
        with files.writing(folder):
            for name in ("last", "best"):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
            self._last = ocp.CheckpointManager(self._folder / "last", options=options)
            self._best = ocp.CheckpointManager(self._folder / "best", options=options)
        self._next_save, self._like = 0.0, None

    def seconds(self) -> float:
        """Returns how long the run has taken, in seconds, including the time before it was resumed."""
        return time.monotonic() - self._start

    def save_if_due(self, state: step.TrainState, best: Selected) -> None:
        """Saves, unless checkpoints would take more than a tenth of the time."""
        if processes.of_first(time.monotonic() >= self._next_save):
            self.save(state, best)

    def save(self, state: step.TrainState, best: Selected) -> None:
        """Saves the state under the number of its step. Once it is complete, only the last two are kept.

        Raises:
            UserError: it cannot be written; the earlier ones are kept.
        """
        start = time.monotonic()
        number = int(state.step)
        if processes.of_first(number != self._last.latest_step()):
            # Before the first validation there is no best, so the current parameters fill its place.
            selected = state.params if best.params is None else best.params
            # A dict, as the parameters may be a single array, which Orbax does not take.
            whole = self._layout.whole(state, self._like)
            trees = _on_host({"state": whole._asdict(), "best": {"params": selected}})
            progress = {"selected_step": best.step, "val_accuracy": best.accuracy, "seconds": self.seconds()}
            content = ocp.args.Composite(
                **{name: ocp.args.StandardSave(tree) for name, tree in trees.items()},
                progress=ocp.args.JsonSave(progress | {"checksum": _checksum(trees, progress)}),
            )
            with processes.together():
                self.write(self._last, number, content)
        end = time.monotonic()
        self._next_save = end + 9 * (end - start)

    def finish(self, best: Selected, constants: chex.ArrayTree) -> None:
        """Saves the selected parameters alone, for later use of the network. Keeps only the last state.

        Args:
            best: the selected parameters.
            constants: the network's arrays that are not parameters.

        Raises:
            UserError: they cannot be written.
        """
        if best.step not in self._best.all_steps():
            network = {"params": best.params, "constants": constants}
            self.write(self._best, best.step, ocp.args.StandardSave(_on_host(network)))
        with files.writing(self._folder):
            for manager, kept in ((self._best, best.step), (self._last, self._last.latest_step())):
                for number in manager.all_steps():
                    if number != kept:
                        manager.delete(number)
            for damaged in self._folder.glob("damaged-*"):
                shutil.rmtree(damaged)

    def restore(self, fresh: step.TrainState) -> tuple[step.TrainState, Selected]:
        """Returns the last state and the best parameters; without a checkpoint, ``fresh`` and nothing selected.

        A damaged checkpoint is moved aside, with a warning on stderr, and the one before it is used.

        Args:
            fresh: a state of the same structure, shapes and dtypes.
        """
        self._like = jax.eval_shape(lambda: fresh)
        damaged, found = [], None
        for number in sorted(self._last.all_steps(), reverse=True):
            try:
                found = self._restore(number, fresh)
                break
            except (MemoryError, jax.errors.JaxRuntimeError):
                raise  # says nothing about the file
            except Exception as error:  # Orbax may raise anything for a damaged file
                damaged.append(f"{self._folder / 'last' / str(number)} ({_reason(error)})")
                self._set_aside(number)
        if damaged:
            with contextlib.redirect_stderr(io.StringIO()):
                gc.collect()  # of Orbax's failed tasks; asyncio would otherwise complain about them later
            going_on = f"going on from step {int(found[0].step)}" if found else "starting again"
            print(f"warning: damaged checkpoint: {', '.join(damaged)}; {going_on}", file=sys.stderr)
        state, best = found or (fresh, Selected())
        return (state, best) if jax.process_count() == 1 else _of_first(state, best)

    def close(self) -> None:
        self._last.close()
        self._best.close()

    def _restore(self, number: int, like: step.TrainState) -> tuple[step.TrainState, Selected]:
        trees = {"state": like._asdict(), "best": {"params": like.params}}
        restored = self._last.restore(
            number,
            args=ocp.args.Composite(
                **{name: ocp.args.StandardRestore(_on_host(tree)) for name, tree in trees.items()},
                progress=ocp.args.JsonRestore(),
            ),
        )
        progress = restored["progress"]
        checksum = progress.pop("checksum")
        found = {name: restored[name] for name in trees}
        if checksum != _checksum(found, progress):
            raise ValueError("its checksum does not match")
        found = jax.tree.map(_on_device, found, trees)
        best = Selected(found["best"]["params"], progress["selected_step"], progress["val_accuracy"])
        self._start -= progress["seconds"]
        return step.TrainState(**found["state"]), best

    def _set_aside(self, number: int) -> None:
        aside = self._folder / f"damaged-{number}"
        shutil.rmtree(aside, ignore_errors=True)
        with files.writing(self._folder):
            (self._folder / "last" / str(number)).rename(aside)
        self._last.reload()

    def write(self, manager: ocp.CheckpointManager, number: int, args: ocp.args.CheckpointArgs) -> None:
        if not processes.is_first():
            return
        try:
            manager.save(number, args=args, force=True)
        except (OSError, ValueError) as error:
            reason = self._reason_against_writing() or _reason(error)
            self._remove_unfinished()
            raise errors.UserError(
                f"cannot write {manager.directory / str(number)}: {reason}; "
                "make room, or give another --results-dir (what is there stays)"
            ) from error

    def _reason_against_writing(self) -> str | None:
        """Returns why a file cannot be written. Orbax writes many at once, and may report the error of another file."""
        try:
            (self._folder / "last" / "probe.orbax-checkpoint-tmp").write_bytes(bytes(2**20))
        except OSError as error:
            return error.strerror
        return None

    def _remove_unfinished(self) -> None:
        absent = _ABSENT_BEFORE_GONE  # if the first check finds nothing, there is no second
        for _ in range(100):  # Orbax's threads may still be writing, and may create a removed folder again
            found = list(self._folder.glob("*/*.orbax-checkpoint-tmp*"))
            absent = 0 if found else absent + 1
            if absent > _ABSENT_BEFORE_GONE:
                break
            for unfinished in found:
                if unfinished.is_file():
                    unfinished.unlink()
                shutil.rmtree(unfinished, ignore_errors=True)
            time.sleep(0.1)


class Saving(drive.Hook):
    """Saves at each validation if it is due, and when the training is stopped."""

    def __init__(self, store: Checkpoints, selection: Selection):
        """Takes where to save, and the selection so far; must come after ``selection`` among the hooks."""
        self.every = selection.every
        self._store, self._selection = store, selection

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics) -> None:
        """Saves if it is due."""
        self._store.save_if_due(state, self._selection.best)

    def on_stop(self, state: step.TrainState) -> None:
        """Saves."""
        self._store.save(state, self._selection.best)


def read_selected(
    folder: pathlib.Path, params: chex.ArrayTree, constants: chex.ArrayTree
) -> tuple[chex.ArrayTree, chex.ArrayTree]:
    """Reads the selected network of a finished run.

    Args:
        folder: its ``checkpoints``.
        params: parameters of the same structure, shapes and dtypes.
        constants: the network's arrays that are not parameters, of the same structure.

    Returns:
        Parameters and constants.

    Raises:
        DamagedError: there is none, it cannot be read, or its arrays have other shapes.
    """
    steps = [path for path in (folder / "best").glob("*") if path.name.isdecimal()]
    if not steps:
        raise files.DamagedError(f"{folder / 'best'}: the selected network is not there; do the run again")
    like = {"params": params, "constants": constants}
    with ocp.StandardCheckpointer() as reader:
        try:
            found = reader.restore(steps[0].absolute() / "default", _on_host(like))
            shapes = [jax.tree.map(jnp.shape, tree) for tree in (found, like)]
            if shapes[0] != shapes[1]:
                raise ValueError("its shapes are different")
        except (MemoryError, jax.errors.JaxRuntimeError):
            raise  # says nothing about the file
        except Exception as error:  # Orbax may raise anything for a damaged file
            raise files.DamagedError(f"{steps[0]} cannot be read: {_reason(error)}") from error
    return found["params"], found["constants"]


def _of_first(state: step.TrainState, best: Selected) -> tuple[step.TrainState, Selected]:
    """Sends what the first process has restored to all processes."""
    number, accuracy = processes.of_first([best.step, best.accuracy])
    params = state.params if best.params is None else best.params
    trees = {"state": state, "best": params}
    trees = jax.tree.map(_on_device, processes.arrays_of_first(_on_host(trees)), trees)
    return trees["state"], Selected(None if accuracy < 0 else trees["best"], number, accuracy)


def _is_key(leaf: chex.Array) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _on_host(tree: chex.ArrayTree) -> chex.ArrayTree:
    """Returns the leaves as NumPy arrays, and keys as their data. Orbax leaks memory when it writes JAX arrays."""
    return jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf), tree)


def _on_device(array: np.ndarray, like: chex.Array) -> chex.Array:
    copy = jnp.array(array)
    return jax.random.wrap_key_data(copy, impl=jax.random.key_impl(like)) if _is_key(like) else copy


def _checksum(trees: dict[str, chex.ArrayTree], progress: dict) -> int:
    """CRC-32 of all values in a checkpoint; Orbax's own checksums do not cover the arrays."""
    checksum = zlib.crc32(json.dumps(progress, sort_keys=True).encode())
    for array in jax.tree.leaves(trees):
        checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, checksum)
    return checksum


def _reason(error: Exception) -> str:
    """Returns the operating system's reason if there is one, and otherwise the first line of the message."""
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
