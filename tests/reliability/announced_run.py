"""The command line of a run, in its own process, which reports what it is doing."""

import collections
import functools
import multiprocessing
import os
import pathlib
import resource
import signal
import sys
import threading
from multiprocessing import connection
from typing import NamedTuple

import jax

from dg_jax import models, run
from dg_jax.data import builder, prepared  # noqa: F401 (imported once, for all processes)
from dg_jax.training import advance, checkpoints, evaluate, loop  # noqa: F401
from tests.training import worlds

# Processes are forks of one that has imported all this, but has started neither threads nor JAX's backend.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        exit_code: if it is negative, the signal of that number killed the process.
        stderr: what it wrote to stderr.
        phase: the last phase that it reported.
    """

    exit_code: int
    stderr: str
    phase: str


class Fault(NamedTuple):
    """A signal that a process gets ``delay`` seconds after a phase begins for the n-th time, counted from 1."""

    number: signal.Signals
    phase: str
    occurrence: int
    delay: float


def run_with(flags: list[str], stderr: pathlib.Path, fault: Fault | None = None, limit: int | None = None) -> Ended:
    """Does ``python -m dg_jax.run FLAGS`` with ``worlds.large_model``, and at most ``limit`` bytes in each file."""
    told, tell = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(flags, stderr, tell, fault, limit))
    process.start()
    tell.close()
    phase = ""
    try:
        while True:
            phase = told.recv()
    except EOFError:
        process.join()
    return Ended(process.exitcode, stderr.read_text(), phase)


def _run(
    flags: list[str], stderr: pathlib.Path, tell: connection.Connection, fault: Fault | None, limit: int | None
) -> None:
    """Runs in the new process."""
    with stderr.open("w") as file, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells make background processes ignore it
    # A cache of its own: a killed process may leave half an entry.
    jax.config.update("jax_compilation_cache_dir", str(stderr.parent.parent / "compiled"))
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    models.create = lambda *args: worlds.large_model()
    begun: collections.Counter[str] = collections.Counter()

    def begin(phase):
        tell.send(phase)
        begun[phase] += 1
        if fault and (phase, begun[phase]) == (fault.phase, fault.occurrence):
            if fault.delay:
                threading.Timer(fault.delay, os.kill, (os.getpid(), fault.number)).start()
            else:
                os.kill(os.getpid(), fault.number)

    def announce(owner, name, phase):
        function = getattr(owner, name)

        @functools.wraps(function)
        def call(*args, **keywords):
            begin(phase)
            return function(*args, **keywords)

        setattr(owner, name, call)

    announce(builder.Encoder, "write", "preparation")
    announce(advance.Advance, "__call__", "training")
    announce(checkpoints.Checkpoints, "write", "checkpoint")
    make_evaluate = evaluate.make_evaluate

    def make_announced(*args):
        def evaluation(params, batches):
            begin("validation")
            return of_network(params, batches)

        of_network = make_evaluate(*args)
        return evaluation

    evaluate.make_evaluate = make_announced
    sys.exit(run.main(flags))
