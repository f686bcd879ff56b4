"""Orbax checkpoints of the last state and of the best parameters."""

import pathlib
import time
from typing import NamedTuple

import chex
import orbax.checkpoint as ocp

from dg_jax.training import step


class Selected(NamedTuple):
    """The parameters with the highest validation accuracy so far.

    Attributes:
        params: the parameters; ``None`` before the first validation.
        step: after how many steps.
        accuracy: their validation accuracy in [0, 1]; -1 before the first validation.
    """

    params: chex.ArrayTree | None
    step: int
    accuracy: float


class Checkpoints:
    """``checkpoints/last/<step>``: a whole state to go on from. ``checkpoints/best/<step>``: parameters.

    The last checkpoint holds the best parameters too, so that it alone is enough to resume.
    """

    def __init__(self, folder: pathlib.Path):
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self._last = ocp.CheckpointManager((folder / "last").absolute(), options=options)
        self._best = ocp.CheckpointManager((folder / "best").absolute(), options=options)
        self._next_save = 0.0

    def save_if_due(self, state: step.TrainState, best: Selected, seconds: float) -> None:
        """Saves, unless more than a tenth of the time would go into checkpoints."""
        if time.monotonic() >= self._next_save:
            self.save(state, best, seconds)

    def save(self, state: step.TrainState, best: Selected, seconds: float) -> None:
        """Saves the state under the number of its step; the checkpoint before goes once this one is whole."""
        start = time.monotonic()
        number = int(state.step)
        if number != self._last.latest_step():
            self._last.save(
                number,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state._asdict()),
                    # Before the first validation whatever stands here will be replaced by it.
                    best=ocp.args.StandardSave(state.params if best.params is None else best.params),
                    progress=ocp.args.JsonSave(
                        {"selected_step": best.step, "val_accuracy": best.accuracy, "seconds": seconds}
                    ),
                ),
            )
        end = time.monotonic()
        self._next_save = end + 9 * (end - start)

    def save_best(self, best: Selected) -> None:
        """Saves the selected parameters by themselves, for whoever uses the network."""
        if best.step != self._best.latest_step():
            self._best.save(best.step, args=ocp.args.StandardSave(best.params), force=True)

    def restore(self, like: step.TrainState) -> tuple[step.TrainState, Selected, float] | None:
        """Returns the last state, the best parameters and the seconds spent, or ``None``.

        Args:
            like: a state of the same structure, shapes and dtypes.
        """
        number = self._last.latest_step()
        if number is None:
            return None
        restored = self._last.restore(
            number,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(like._asdict()),
                best=ocp.args.StandardRestore(like.params),
                progress=ocp.args.JsonRestore(),
            ),
        )
        progress = restored["progress"]
        best = Selected(restored["best"], progress["selected_step"], progress["val_accuracy"])
        return step.TrainState(**restored["state"]), best, progress["seconds"]

    def close(self) -> None:
        self._last.close()
        self._best.close()
