import os
import signal

import pytest

import dg_jax
from dg_jax import errors
from dg_jax.command_line import program
from dg_jax.training import interrupt


def ended(capsys, do):
    """Exit code, stdout and stderr of a program."""
    code = program.main(do, "the same command goes on", ["--flag"])
    return code, *capsys.readouterr()


def test_the_flags_reach_the_program(capsys):
    assert ended(capsys, print) == (0, "['--flag']\n", "")


def test_an_error_of_the_user_is_one_line(capsys):
    def fail(given):
        raise errors.UserError("--flag: wrong\x1b[2J")

    assert ended(capsys, fail) == (2, "", "error: --flag: wrong\\x1b[2J\n")


def test_failed_runs_among_others_are_exit_code_1(capsys):
    def fail(given):
        raise errors.SomeFailedError({"here": "its loss is nan"})

    assert ended(capsys, fail) == (1, "", "error: 1 failed, the rest is done: here: its loss is nan\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_its_exit_code(number, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert ended(capsys, lambda given: os.kill(os.getpid(), number)) == (
        code,
        "",
        "stopped; the same command goes on\n",
    )
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_stopped_training_says_where(capsys):
    def stop(given):
        raise interrupt.Interrupted(signal.SIGTERM, "stopped after step 3 of 6")

    assert ended(capsys, stop) == (143, "", "stopped after step 3 of 6; the same command goes on\n")


def test_the_version(capsys):
    assert program.main(print, "", ["--version"]) == 0
    assert capsys.readouterr().out == f"dg_jax {dg_jax.__version__}\n"


def test_an_error_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        program.main(lambda given: 1 / 0, "", [])
