"""One run trained by several processes, each with devices of its own; the first one writes and prints.

All processes make the same calls: each step waits for the others, and so do the functions here.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import chex
import jax
import numpy as np
from jax.experimental import multihost_utils

from dg_jax import errors
from dg_jax.config import PATHS, RunConfig, changed, flag, flat

_OF_A_CONNECTION = ("ABORTED:", "CANCELLED:", "DEADLINE_EXCEEDED:", "INTERNAL:", "UNAVAILABLE:", "UNKNOWN:")


def begin(config: RunConfig) -> None:
    """Connects the processes of a run if its flags or JAX's own ``JAX_COORDINATOR_ADDRESS`` say that there are several.

    Raises:
        RunError: they cannot connect.
    """
    machine = config.machine
    coordinator = machine.coordinator or ("auto" if os.environ.get("JAX_COORDINATOR_ADDRESS") else None)
    if coordinator is None or jax.distributed.is_initialized():
        return
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            print(f"waiting for {machine.num_processes} processes at {coordinator}", file=sys.stderr, flush=True)
            with _ended_by_signals():
                jax.distributed.initialize(coordinator, machine.num_processes, machine.process_id)
    except (RuntimeError, ValueError) as error:
        advice = "; outside of a cluster give HOST:PORT" if coordinator == "auto" else ""
        raise errors.RunError(f"--coordinator={coordinator}: {str(error).splitlines()[0]}{advice}") from error


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets signals end the process at once: Python's own handlers would run only when the others have come."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check_same(config: RunConfig) -> None:
    """Raises a ``RunError`` in each process that was given other settings than the first; paths may differ."""
    if jax.process_count() == 1:
        return
    ours = {name: repr(value) for name, value in flat(config).items() if name not in (*PATHS, "process_id")}
    theirs = of_first(ours)
    for name, value in ours.items():
        if value != theirs[name]:
            raise errors.RunError(
                f"{flag(name)} is {value} in process {jax.process_index()} and {theirs[name]} in process 0; start all "
                "processes with the same flags but --process-id"
            )


@contextlib.contextmanager
def ending_with_the_others() -> Iterator[None]:
    """Ends this process with one line where another one has gone."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # JAX raises both of them for a failed collective
        why = str(error).partition("\n")[0]
        if jax.process_count() == 1 or not why.startswith(_OF_A_CONNECTION):
            raise
        print(
            f"error: another process has gone ({why}); what was written stays: start all again with --resume",
            file=sys.stderr,
            flush=True,
        )
        os._exit(errors.UserError.exit_code)  # a usual exit would wait for the others


def is_first() -> bool:
    """Whether this process writes and prints."""
    return jax.process_index() == 0


@contextlib.contextmanager
def results_dir(config: RunConfig) -> Iterator[RunConfig]:
    """Gives every process except the first a temporary results folder, since only the first keeps results."""
    if is_first():
        yield config
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield changed(config, results_dir=pathlib.Path(scratch))


def of_first(value: Any) -> Any:
    """Returns the first process's value, which JSON must be able to hold."""
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode() if is_first() else b"", np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    sent = multihost_utils.broadcast_one_to_all(np.resize(text, length) if is_first() else np.zeros(length, np.uint8))
    return json.loads(np.asarray(sent, np.uint8).tobytes())


def arrays_of_first(tree: chex.ArrayTree) -> chex.ArrayTree:
    """Returns the first process's arrays, as NumPy arrays; those of the other processes only give the shapes."""
    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def largest(number: int) -> int:
    """Returns the largest of the numbers that the processes gave."""
    return number if jax.process_count() == 1 else int(np.max(multihost_utils.process_allgather(np.int32(number))))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Makes an error in one process an error of all. Otherwise the others would wait for it for ever."""
    try:
        yield
    except Exception:
        largest(1)
        raise
    if largest(0):
        raise errors.RunError(f"process {jax.process_index()} stops, as another one could not go on")
