"""The driver: takes the steps of every training."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dg_jax.training import advance, finite, interrupt, processes, step


class Hook:
    """Follows a training; each method does nothing unless it is overridden.

    Validation, checkpoints, the progress bar and logs are hooks. Averaged weights, a second network or another reason
    to stop can be hooks too. A hook ends a training early by raising :class:`Enough` in :meth:`on_pause`.

    Attributes:
        every: steps between two calls of :meth:`on_pause`, counted from the start of the run; ``None`` for never.
            Steps in between may be one program on the device, so a large number is fast.

    Example:
        >>> class Report(Hook):
        ...     every = 100
        ...
        ...     def on_pause(self, state, metrics):
        ...         print(int(state.step), metrics.losses)
    """

    every: int | None = None

    def on_step(self, number: int, metrics: step.StepMetrics) -> None:
        """Is called for each step, with its number and its metrics, on the host."""

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics) -> step.TrainState | None:
        """Is called at each multiple of ``every``.

        Args:
            state: the state after this step. The next step uses it up, so copy what is to be kept.
            metrics: those of this step.

        Returns:
            The state to go on from; ``None`` for the one given.
        """

    def on_validation(self, values: Mapping[str, Any]) -> None:
        """Is called after each validation, with what its line of ``metrics.jsonl`` holds."""

    def on_stop(self, state: step.TrainState) -> None:
        """Is called with the last state when SIGINT or SIGTERM ends the training."""


class Enough(Exception):
    """Raised by a hook to end the training after this step."""


def drive(
    take_steps: advance.Advance,
    state: step.TrainState,
    iterations: int,
    hooks: Sequence[Hook],
    *,
    sources: Sequence[Sequence[str]],
    stop: interrupt.StopRequest,
    seeds: Sequence[int] = (),
) -> tuple[step.TrainState, step.StepMetrics | None]:
    """Trains up to step ``iterations``, and calls the hooks.

    Args:
        take_steps: takes the steps.
        state: the state to start from; the first step uses it up.
        iterations: number of the last step.
        hooks: called in their order.
        sources: names of the domains trained on, of each of S runs side by side, for messages.
        stop: says whether a signal has come.
        seeds: the seeds of the S runs, for messages; none for one run.

    Returns:
        The last state, and the metrics of the last step; ``None`` if there was no step to take.

    Raises:
        RunError: a loss, a parameter or a number of the optimizer's state is not finite.
        Interrupted: SIGINT or SIGTERM came.
    """
    metrics = None
    while take_steps.done < iterations:
        start = take_steps.done
        pauses = [start - start % hook.every + hook.every for hook in hooks if hook.every]
        pause = min([iterations, *pauses])
        state, metrics = take_steps(state, pause - start)
        each = take_steps.each(metrics)
        for number, metrics in enumerate(each, start + 1):
            for own, own_sources, seed in zip(*_by_run(metrics.losses, sources, seeds), strict=True):
                finite.check_losses(own, number, own_sources, seed)
            for hook in hooks:
                hook.on_step(number, metrics)
        if take_steps.done == pause:
            finite.check_state(state, take_steps.done, of_seeds=bool(seeds))
        try:
            for hook in hooks:
                if hook.every and take_steps.done % hook.every == 0:
                    state = hook.on_pause(state, each[-1]) or state
        except Enough:
            iterations = take_steps.done
        signal_number = _signal_for_all(stop, is_pause=take_steps.done == pause)  # it may have come in a hook
        if signal_number:
            finite.check_state(state, take_steps.done, of_seeds=bool(seeds))
            for hook in hooks:
                hook.on_stop(state)
            again = " (runs side by side keep no checkpoints: these begin again)" if seeds else ""
            raise interrupt.Interrupted(signal_number, f"stopped after step {take_steps.done} of {iterations}{again}")
    return state, metrics


def _by_run(losses: np.ndarray, sources: Sequence[Sequence[str]], seeds: Sequence[int]) -> tuple:
    """Losses, sources and seed of each run; one run alone has losses ``[N]`` and no seed in messages."""
    return (losses, sources, seeds) if seeds else ([losses], sources, [None])


def _signal_for_all(stop: interrupt.StopRequest, *, is_pause: bool) -> int | None:
    """Returns the signal on which to stop. Several processes stop together, and so ask each other at pauses only."""
    if jax.process_count() == 1:
        return stop.signal_number
    return (processes.largest(stop.signal_number or 0) or None) if is_pause else None
