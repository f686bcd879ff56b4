import pytest

from dg_jax import errors


def test_a_message_is_one_printable_line():
    assert str(errors.UserError("a\nb\x1b[2J")) == "a\\nb\\x1b[2J"
    assert len(str(errors.UserError("x" * 100_000))) < 4100


def test_exit_codes():
    assert errors.UserError("").exit_code == errors.RunError("").exit_code == 2
    assert errors.SomeFailedError({}).exit_code == 1


def test_failed_runs_are_named_ten_at_most():
    message = str(errors.SomeFailedError({f"run-{i}": "why" for i in range(12)}))
    assert message.startswith("12 failed, the rest is done: run-0: why; run-1: why")
    assert message.endswith("(and 2 more)") and "run-10" not in message


def test_a_warning_is_given_once(capsys):
    for _ in range(3):
        errors.warn("of this test alone")
    assert capsys.readouterr().err == "warning: of this test alone\n"
    with pytest.raises(errors.UserError, match="x"):
        raise errors.RunError("x")
