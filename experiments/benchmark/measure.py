"""Times of several contenders, measured in turns, and their ratios and rates."""

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from rich import console, progress

from dg_jax import errors
from dg_jax.reading.names import unknown

Name = TypeVar("Name", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Spread:
    """Several measurements of the same thing.

    Attributes:
        values: the measurements, in the order in which they were made.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        return min(self.values)

    @property
    def highest(self) -> float:
        return max(self.values)


def ratio(numerator: Spread, denominator: Spread) -> Spread:
    """Divides repetition by repetition, so that a change of the machine's speed affects both equally."""
    return Spread(tuple(a / b for a, b in zip(numerator.values, denominator.values, strict=True)))


def each(seconds: Spread, count: int) -> Spread:
    """Seconds of one of ``count`` equal pieces of work."""
    return Spread(tuple(value / count for value in seconds.values))


def rate(amount: float, seconds: Spread) -> Spread:
    """Amount per second in each repetition."""
    return Spread(tuple(amount / value for value in seconds.values))


def settle() -> None:
    """Waits until this process computes nothing, ten seconds at most.

    Threads of OpenMP spin for a while after their work is done, and prefetching readers fill
    their buffers. Both would slow the next measurement.
    """
    for _ in range(500):
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.004:
            return


def alternate(
    contenders: dict[Name, Callable[[], object]],
    repetitions: int,
    *,
    what: str = "",
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[], None] = settle,
) -> dict[Name, Spread]:
    """Calls all contenders once to warm up, then measures them in turns.

    Every second round is in reverse order, so that none always follows the same one.

    Args:
        contenders: by name; each returns only once its work is done, on a GPU too.
        repetitions: how often each is measured, at least 1.
        what: shown beside the progress bar.
        clock: gives the time in seconds.
        rest: called before each measurement.

    Returns:
        Seconds of each contender, ``repetitions`` values.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    names = list(contenders)
    rounds = range(repetitions)
    on_stderr = console.Console(stderr=True)
    for number in progress.track(rounds, f"measuring {what}", console=on_stderr, disable=not sys.stderr.isatty()):
        for name in names[:: -1 if number % 2 else 1]:
            rest()
            start = clock()
            contenders[name]()
            seconds[name].append(clock() - start)
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


def check_repetitions(repetitions: int, fewest: int = 1) -> None:
    """Raises a ``UserError`` if there are fewer than ``fewest``."""
    if repetitions < fewest:
        raise errors.UserError(f"--repetitions={repetitions}: give a whole number of at least {fewest}")


def check_same(what: str, ours: float, theirs: float, tolerance: float) -> None:
    """Stops the benchmark if two numbers differ too much, relative to the second."""
    check_difference(what, abs(ours - theirs) / abs(theirs), tolerance)


def check_difference(what: str, difference: float, tolerance: float) -> None:
    """Stops the benchmark if ours and the rival differ by more than the tolerance.

    Raises:
        UserError: ``difference`` is above ``tolerance``, or not a number.
    """
    if not difference <= tolerance:
        raise errors.UserError(
            f"{what}: ours and the rival differ by {difference:.2g}, {tolerance:.2g} is allowed; "
            "times of different results are not compared"
        )


def known_names(flag: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raises a ``UserError`` for a name that a benchmark does not know."""
    for name in names:
        if name not in known:
            raise unknown(f"name in {flag}:", name, known)
