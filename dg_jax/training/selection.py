"""Validation at intervals, and which parameters are tested in the end (section 4.1 of the paper)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax.config import RunConfig
from dg_jax.training import advance, drive, evaluate, finite, run_folder, step


class Selected(NamedTuple):
    """The parameters with the highest validation accuracy so far, or with ``--selection=last`` those validated last.

    Attributes:
        params: the parameters; ``None`` before the first validation.
        step: after how many steps.
        accuracy: their validation accuracy in [0, 1]; -1 before the first validation.
    """

    params: chex.ArrayTree | None = None
    step: int = 0
    accuracy: float = -1.0


class Selection(drive.Hook):
    """Validates every ``config.optimisation.val_every`` steps, and keeps the parameters that are selected.

    Attributes:
        best: what is selected so far.
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
        """Takes the run, its evaluations, what was selected before, where a validation is written, and who is told."""
        self.every, self.best = config.optimisation.val_every, best
        self._config, self._evaluations, self._take_steps = config, evaluations, take_steps
        self._folder, self._hooks = folder, hooks

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics | None) -> None:
        """Validates; ``metrics`` are noted too."""
        number = int(state.step)
        validation = self._evaluations.validation(state.params)
        finite.check_losses(np.array([validation.loss]), number, self._config.sources, what="validation loss")
        watched = {name: run(state.params).accuracy for name, run in self._evaluations.watched.items()}
        values = figures(number, validation, watched, metrics)
        values["images_per_second"] = self._take_steps.images_per_second()
        self._folder.append_metrics(values)
        for hook in self._hooks:
            hook.on_validation(values)
        if validation.accuracy > self.best.accuracy or self._config.optimisation.selection == "last":
            self.best = Selected(jax.tree.map(jnp.copy, state.params), number, validation.accuracy)


def figures(
    number: int, validation: evaluate.Evaluation, watched: dict[str, float], metrics: step.StepMetrics | None
) -> dict[str, Any]:
    """Returns what a line of ``metrics.jsonl`` holds of one run at one step."""
    values: dict[str, Any] = {"step": number, "val_accuracy": validation.accuracy, "val_loss": validation.loss}
    if watched:
        values["watched"] = watched
    if metrics:
        values["losses"] = metrics.losses.tolist()
        values |= {name: float(value) for name, value in metrics.combiner.items()}
    return values
