"""Does runs as tasks of Ray: in processes side by side on one machine, or on the cluster that ``RAY_ADDRESS`` names."""

import contextlib
import io
import logging
import os
import pathlib
import socket
import sys
from collections.abc import Callable, Iterable, Iterator

from dg_jax import config, errors
from dg_jax.command_line import packages
from dg_jax.training import interrupt, run_folder

with packages.needed("--executor=ray needs", "cluster"):
    import ray
    from ray import exceptions

Batch = list[config.RunConfig]
Work = Callable[[Batch], Iterable[tuple[Batch, list[dict] | str]]]
ATTEMPTS = 3


def outcomes(do: Work, batches: list[Batch]) -> Iterator[tuple[Batch, list[dict] | str]]:
    """Does each batch of runs in a task of its own, and yields the outcomes in the order in which they come.

    A task takes one CPU, and one GPU if the cluster has any. If its process dies or an exception
    ends it, it is done again, from the checkpoint that it left. After the third time it counts
    as failed. XLA has as many threads in a task as elsewhere: with fewer it would add in another
    order, and the numbers would differ from those of ``--executor=local``.

    Args:
        do: does the runs of a batch and yields one pair, the batch and its outcome.
        batches: runs to do together.

    Yields:
        A batch, and its results or why it failed.

    Raises:
        UserError: a run met an error that the user can fix, or Ray does not start.
        Interrupted: SIGINT or SIGTERM came; the current runs have left checkpoints.
    """
    if not batches:
        return
    for one in (one for batch in batches for one in batch if one.output.overwrite):
        _empty(run_folder.folder_of(one))  # here, so that a second attempt can resume the first
    _connect()
    task = ray.remote(
        num_cpus=1,
        num_gpus=1 if ray.cluster_resources().get("GPU") else 0,
        max_retries=ATTEMPTS - 1,
        retry_exceptions=True,
    )(_do_here)
    waiting: dict[ray.ObjectRef, Batch] = {}
    warned: set[str] = set()
    try:
        # Ray reports the death of a process on stdout, where the tables go.
        with interrupt.StopRequest() as stop, contextlib.redirect_stdout(io.StringIO()):
            for batch in batches:
                named = task.options(name=str(run_folder.folder_of(batch[0]).path))
                resuming = [config.changed(one, resume=True, overwrite=False) for one in batch]
                waiting[named.remote(do, resuming, pathlib.Path.cwd())] = batch
            try:
                while waiting:
                    done, _ = ray.wait(list(waiting), timeout=1)
                    if stop.signal_number:
                        raise interrupt.Interrupted(stop.signal_number, "stopped")
                    for reference in done:
                        yield waiting.pop(reference), _outcome(reference, warned)
            finally:
                _stop(list(waiting))
    finally:
        ray.shutdown()


def _empty(folder: run_folder.RunFolder) -> None:
    try:
        folder.result_file.unlink(missing_ok=True)
        folder.forget_progress()
    except OSError as error:
        raise errors.UserError(f"--overwrite: cannot remove {error.filename}: {error.strerror}") from error


def _connect() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()  # if nothing is there, Ray waits very long
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises a plain Exception if a part of it starts too slowly
        where = f"RAY_ADDRESS={address}: no Ray to connect to" if address else "Ray does not start"
        raise errors.UserError(f"--executor=ray: {where}: {_first_line(error)}") from error


def _do_here(do: Work, batch: Batch, folder: pathlib.Path) -> tuple[list[dict] | str | errors.UserError, list[str]]:
    """Does a batch in a process of Ray, in the folder to which the paths in the configurations are relative.

    Returns:
        The outcome, or an error that a second attempt would meet again; and the warnings, which nobody would see there.
    """
    os.chdir(folder)
    outcome: list[dict] | str | errors.UserError
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            [(_, outcome)] = do(batch)
        except errors.UserError as error:
            outcome = error
    return outcome, [line for line in said.getvalue().splitlines() if line.startswith("warning: ")]


def _outcome(reference: ray.ObjectRef, warned: set[str]) -> list[dict] | str:
    """Returns the outcome of a task, and prints on stderr those of its warnings that are new."""
    try:
        outcome, warnings = ray.get(reference)
    except exceptions.RayError as error:
        reason = error.cause if isinstance(error, exceptions.RayTaskError) else error
        return f"failed {ATTEMPTS} times, at last with {type(reason).__name__}: {_first_line(reason)}"
    for line in warnings:
        if line not in warned:
            print(line, file=sys.stderr)
    warned.update(warnings)
    if isinstance(outcome, errors.UserError):
        raise outcome
    return outcome


def _stop(references: list[ray.ObjectRef]) -> None:
    for reference in references:
        ray.cancel(reference)  # sends SIGINT; a process that trains then leaves a checkpoint
    if references:
        ray.wait(references, num_returns=len(references))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
