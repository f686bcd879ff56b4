"""Turns Ctrl-C and SIGTERM into a request to stop."""

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

    A second signal acts as usual. Outside of the main thread signals are left alone, as Python handles them in the main
    thread only. If a signal has come and the block ends without an error, :class:`Interrupted` is raised at its end, as
    the caller may have more to do.
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
