"""Runs training steps in the fastest form for the device."""

import time

import jax

from dg_jax.data import feed
from dg_jax.training import backend, devices, step


class Advance:
    """Takes steps: ``state, metrics = advance(state, most)``; ``advance.each(metrics)`` lists the metrics of each step.

    On a CPU a call takes one step, because XLA:CPU runs convolutions much slower inside a loop. A call also takes one
    step if each step gets new images. Otherwise a call takes ``most`` steps, as one ``lax.scan`` on the device. The
    state that goes in is donated and must not be used again.

    Attributes:
        done: number of the last step taken, counted from the start of the run.
    """

    def __init__(
        self,
        take_step: step.Step,
        batches: feed.Feed,
        first: int,
        compiled: dict[int, jax.stages.Compiled] | None = None,
        *,
        stepwise: bool | None = None,
        layout: devices.Layout = devices.ONE,
    ):
        """Starts after step ``first`` of a feed.

        Args:
            take_step: the step.
            batches: its feed.
            first: how many steps were taken before.
            compiled: a dict, empty at first, that keeps the compiled programs; for a caller that takes the same step
                on several feeds of the same shapes.
            stepwise: whether a call takes one step; by default what is fastest.
            layout: the devices that the step is made for.
        """
        self.done = self._first = first
        self._seconds = 0.0
        self._stepwise = backend.is_cpu() or not batches.is_constant if stepwise is None else stepwise
        self._step = take_step
        self._values = batches.values(first)
        self._like = batches.like
        self._images_per_step = batches.images_per_step
        self._compiled = {} if compiled is None else compiled
        self._layout = layout

    def __call__(self, state: step.TrainState, most: int) -> tuple[step.TrainState, step.StepMetrics]:
        """Returns the state after 1 to ``most`` steps, and their metrics, which may not be computed yet."""
        count = 1 if self._stepwise else most
        take_steps = self._compile(state, count)
        start = time.monotonic()
        state, metrics = take_steps(state, next(self._values))
        self._seconds += time.monotonic() - start
        self.done += count
        return state, metrics

    def each(self, metrics: step.StepMetrics) -> list[step.StepMetrics]:
        """Waits for the metrics of a call, and returns those of each of its steps, on the host."""
        start = time.monotonic()
        metrics = jax.device_get(metrics)
        self._seconds += time.monotonic() - start
        if self._stepwise:
            return [metrics]
        return [jax.tree.map(lambda leaf: leaf[i], metrics) for i in range(len(metrics.losses))]  # noqa: B023

    def images_per_second(self) -> float | None:
        """Returns the training speed in images per second, without compilation; ``None`` before the first step."""
        images = (self.done - self._first) * self._images_per_step
        return images / self._seconds if images else None

    def _compile(self, state: step.TrainState, count: int) -> jax.stages.Compiled:
        if count not in self._compiled:
            function = self._step if self._stepwise else self._scan(count)
            with self._layout.in_use():
                lowered = jax.jit(function, donate_argnums=0).lower(state, self._like)
            self._compiled[count] = lowered.compile(compiler_options=backend.compiler_options())
        return self._compiled[count]

    def _scan(self, count: int):
        def steps(state, value):
            return jax.lax.scan(lambda carry, _: self._step(carry, value), state, length=count)

        return steps
