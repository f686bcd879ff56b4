"""One of two processes that train one run together, see test_processes.py.

python -m tests.training.on_processes RESULTS_DIR PORT PROCESS

It writes what it finds to RESULTS_DIR.PROCESS, because XLA prints on stdout.
"""

import os
import pathlib
import signal
import sys

from dg_jax import config, errors, run
from dg_jax.training import drive, interrupt, processes
from tests.training import worlds

SETTINGS = {"strategy": "irm", "combiner": "agr_rand", "batch_size": 8, "iterations": 4, "val_every": 2}


def world():
    return worlds.tiny_dataset(num_images=16)


class Signal(drive.Hook):
    """Sends this process a signal between two pauses."""

    def on_step(self, number, metrics):
        if number == 5:
            os.kill(os.getpid(), signal.SIGTERM)


def main(results_dir, port, number):
    found = pathlib.Path(f"{results_dir}.{number}")

    def say(*words):
        with found.open("a") as file:
            print(*words, file=file)

    given = {"coordinator": f"localhost:{port}", "num_processes": 2, "process_id": int(number)}
    one = worlds.tiny_config(pathlib.Path(results_dir), **SETTINGS, **given)
    processes.begin(one)  # before JAX is used
    result = run.run(one, world(), worlds.large_model())
    say("done", result["test_accuracy"])
    assert run.run(one, world(), worlds.large_model(), quiet=True) == result  # it is done already
    more = config.changed(one, iterations=8, resume=True)
    try:
        run.run(more, world(), worlds.large_model(), hooks=[Signal()] if number == "1" else [], quiet=True)
    except interrupt.Interrupted as stopped:
        say("first stopped" if processes.is_first() else "stopped", stopped)
    other = config.changed(more, learning_rate=0.5)
    try:
        run.run(other, world(), worlds.large_model(), quiet=True)
    except errors.UserError as error:
        say(error)
    result = run.run(more, world(), worlds.large_model(), quiet=True)
    say("end", result["test_accuracy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
