"""Runs a program from its flags to its exit code; an error is one line, and Ctrl-C or SIGTERM a stop."""

import logging
import signal
import sys
from collections.abc import Callable, Sequence

import dg_jax
from dg_jax import errors


def main(program: Callable[[Sequence[str]], None], to_go_on: str, arguments: Sequence[str] | None = None) -> int:
    """Calls a program and returns its exit code.

    It is 0, 1 if some of many runs failed, 2 for bad input, 130 or 143 when stopped.

    Args:
        program: what to do with the flags.
        to_go_on: how to go on after a stop, such as "--resume goes on from there".
        arguments: the flags; by default those that Python was started with.
    """
    from dg_jax.training.interrupt import Interrupted

    # TFDS and Orbax log warnings that do not concern the user, and errors, with tracebacks, that they also raise.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    handler, hook = signal.signal(signal.SIGTERM, _stop), sys.unraisablehook
    sys.unraisablehook = _show_unraisable
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if "--version" in given:
            print(f"dg_jax {dg_jax.__version__}")
        else:
            program(given)
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Interrupted as stopped:
        print(f"{stopped}; {to_go_on}", file=sys.stderr)
        return 128 + stopped.signal_number
    except KeyboardInterrupt as stopped:  # between two runs, or before the first step
        print(f"stopped; {to_go_on}", file=sys.stderr)
        return 128 + next(iter(stopped.args), signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.unraisablehook = hook
    return 0


def _stop(number, frame):
    """Makes SIGTERM end the program as Ctrl-C does; ``except Exception`` does not catch it."""
    raise KeyboardInterrupt(number)


def _show_unraisable(unraisable) -> None:
    """Hides messages about unfinished reads and writes of a checkpoint after one of them has failed."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
