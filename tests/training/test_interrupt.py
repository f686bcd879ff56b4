import os
import signal

import pytest

from dg_jax.training import interrupt


def test_the_first_signal_is_noted_and_the_second_acts():
    with interrupt.StopRequest() as stop:
        assert stop.signal_number is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        stop.signal_number = None


def test_a_signal_on_which_nothing_was_done_is_not_lost():
    handler = signal.getsignal(signal.SIGTERM)

    def stopped(error=None):
        with interrupt.StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signal_number == signal.SIGTERM
            if error:
                raise error

    with pytest.raises(interrupt.Interrupted) as raised:
        stopped()
    assert raised.value.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == handler
    with pytest.raises(ValueError, match="of its own"):
        stopped(ValueError("of its own"))
