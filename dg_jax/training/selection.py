"""Validates at intervals, and selects the parameters to test at the end (section 4.1 of the paper)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax.config import RunConfig
from dg_jax.training import advance, drive, evaluate, finite, run_folder, step, swad


class Selected(NamedTuple):
    """The parameters with the highest validation accuracy so far, or with ``--selection=last`` those validated last.

    With ``--average=ema`` they are averaged parameters, as these are what is validated.

    Attributes:
        params: the parameters; ``None`` before the first validation.
        step: the number of steps that were taken.
        accuracy: their validation accuracy in [0, 1]; -1 before the first validation.
    """

    params: chex.ArrayTree | None = None
    step: int = 0
    accuracy: float = -1.0


class Selection(drive.Hook):
    """Validates every ``config.optimisation.val_every`` steps, and keeps the parameters that are selected.

    Attributes:
        best: the selection so far; with ``--average=swad`` nothing before the end.
    """

    def __init__(
        self,
        config: RunConfig,
        evaluations: evaluate.Evaluations,
        best: Selected,
        take_steps: advance.Advance,
        folder: run_folder.RunFolder,
        hooks: Sequence[drive.Hook],
    ):
        """Takes the run, its evaluations, the earlier selection, what takes steps, the folder, and hooks to call."""
        self.every, self.best = config.optimisation.val_every, best
        self._config, self._evaluations, self._take_steps = config, evaluations, take_steps
        self._folder, self._hooks = folder, hooks

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics | None) -> step.TrainState:
        """Validates, and records the result and ``metrics``."""
        number = int(state.step)
        params = validated(state, self._config)
        validation = self._evaluations.validation(params)
        finite.check_losses(np.array([validation.loss]), number, self._config.sources, what="validation loss")
        watched = {name: run(params).accuracy for name, run in self._evaluations.watched.items()}
        values = figures(number, validation, watched, metrics)
        values["images_per_second"] = self._take_steps.images_per_second()
        self._folder.append_metrics(values)
        for hook in self._hooks:
            hook.on_validation(values)
        if self._config.method.average == "swad":
            steps = (number - 1) % self._config.optimisation.val_every + 1
            valley = swad.after_validation(
                state.valley, state.average, steps, validation.loss, self._config.method.swad
            )
            return state._replace(valley=valley)
        if validation.accuracy > self.best.accuracy or self._config.optimisation.selection == "last":
            self.best = Selected(jax.tree.map(jnp.copy, params), number, validation.accuracy)
        return state

    def end(self, state: step.TrainState) -> None:
        """With ``--average=swad`` selects the average that the last state holds."""
        if self._config.method.average == "swad":
            params = swad.average(state.valley)
            self.best = Selected(params, int(state.step), self._evaluations.validation(params).accuracy)


def validated(state: step.TrainState, config: RunConfig) -> chex.ArrayTree:
    """Returns the parameters of a state that are validated and may be selected."""
    return state.average if config.method.average == "ema" else state.params


def figures(
    number: int, validation: evaluate.Evaluation, watched: dict[str, float], metrics: step.StepMetrics | None
) -> dict[str, Any]:
    """Returns the values of a line of ``metrics.jsonl``, for one run at one step."""
    values: dict[str, Any] = {"step": number, "val_accuracy": validation.accuracy, "val_loss": validation.loss}
    if watched:
        values["watched"] = watched
    if metrics:
        values["losses"] = metrics.losses.tolist()
        values |= {name: float(value) for name, value in metrics.combiner.items()}
    return values
