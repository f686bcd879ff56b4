"""Ctrl-C and SIGTERM as a wish to stop, not a crash."""

import signal
import threading


class Interrupted(Exception):
    """The run was asked to stop and has left a checkpoint.

    Attributes:
        signal_number: which signal asked.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Within ``with StopRequest() as stop``, ``stop.signal_number`` is set once a signal has come.

    A second signal acts as it would have without this. In a thread that is not the main one signals are
    left alone, as Python gives them to the main one only. A signal on which nothing was done raises
    :class:`Interrupted` at the end of the block, as the caller may have more to do.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __enter__(self) -> "StopRequest":
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, kind, *unused) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.signal_number and kind is None:
            raise Interrupted(self.signal_number, "stopped after the last step")

    def _note(self, number, frame) -> None:
        del frame
        self.signal_number = number
        signal.signal(number, self._before[number])
