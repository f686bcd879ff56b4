"""Many steps, by the way that the backend is fastest at."""

from collections.abc import Iterator

import jax

from dg_jax import backend
from dg_jax.data import feed
from dg_jax.training import step


class Advance:
    """Takes steps: ``for state, metrics in advance(state, count)``, metrics once a step.

    On a CPU each step is one call of a compiled step, because XLA:CPU runs convolutions
    in a loop some ten times slower; likewise where each step is fed other images. Else
    the ``count`` steps are one ``lax.scan`` on the device; the states in between are not
    given out then: each yield has the last one. The state that goes in is donated and must
    not be used again.
    """

    def __init__(
        self,
        take_step: step.Step,
        batches: feed.Feed,
        first: int,
        compiled: dict[int, jax.stages.Compiled] | None = None,
    ):
        """Starts at step ``first`` of a feed.

        ``compiled`` is for whoever takes the same step on feeds of the same shapes one after
        the other: a dict, at first empty, in which the programs stay.
        """
        self._stepwise = backend.is_cpu() or not batches.is_constant
        self._step = take_step
        self._values = batches.values(first)
        self._like = batches.like
        self._compiled = {} if compiled is None else compiled

    def compile(self, state: step.TrainState, count: int) -> None:
        """Compiles what ``count`` steps need, so that none of them has to wait for it."""
        length = 1 if self._stepwise else count
        if length not in self._compiled:
            function = self._step if self._stepwise else self._scan(length)
            lowered = jax.jit(function, donate_argnums=0).lower(state, self._like)
            self._compiled[length] = lowered.compile(compiler_options=backend.compiler_options())

    def __call__(self, state: step.TrainState, count: int) -> Iterator[tuple[step.TrainState, step.StepMetrics]]:
        self.compile(state, count)
        if self._stepwise:
            for _ in range(count):
                state, metrics = self._compiled[1](state, next(self._values))
                yield state, metrics
        else:
            state, metrics = self._compiled[count](state, next(self._values))
            host = jax.device_get(metrics)
            for i in range(count):
                yield state, jax.tree.map(lambda leaf: leaf[i], host)  # noqa: B023

    def _scan(self, length: int):
        def steps(state, value):
            return jax.lax.scan(lambda carry, _: self._step(carry, value), state, length=length)

        return steps
