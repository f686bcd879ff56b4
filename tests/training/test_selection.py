import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors
from dg_jax.training import evaluate, selection, step
from tests.training import worlds


class Note:
    """Stands for each object that a validation reports to or asks."""

    def __init__(self):
        self.lines, self.shown = [], []

    append_metrics = property(lambda self: self.lines.append)
    on_validation = property(lambda self: self.shown.append)

    def images_per_second(self):
        return 10.0


def evaluation(accuracy, loss):
    right = round(100 * accuracy)
    return evaluate.Evaluation(np.array([[right, 100 - right], [0, 0]]), loss)


def made(tmp_path, results, watched=(), **settings):
    given = iter(results)
    seen = {name: lambda params: evaluation(0.25, 1.0) for name in watched}
    evaluations = evaluate.Evaluations(lambda params: evaluation(*next(given)), None, seen)
    note = Note()
    config = worlds.tiny_config(tmp_path, **settings)
    return selection.Selection(config, evaluations, selection.Selected(), note, note, [note]), note


def state_after(number):
    return step.TrainState({"w": jnp.full(2, float(number))}, (), jnp.int32(number), None)


METRICS = step.StepMetrics(np.array([1.0, 2.0], np.float32), {"agreement": np.float32(0.5)})


@pytest.mark.parametrize(("how", "chosen"), [("validation", 4), ("last", 8)])
def test_the_highest_accuracy_is_selected_and_the_earliest_of_equals(how, chosen, tmp_path):
    accuracies = [0.2, 0.8, 0.8, 0.5]
    chooses, note = made(tmp_path, [(accuracy, 1.0) for accuracy in accuracies], selection=how)
    for number in (2, 4, 6, 8):
        chooses.on_pause(state_after(number), METRICS)
    assert (chooses.best.step, chooses.best.accuracy) == (chosen, accuracies[chosen // 2 - 1])
    np.testing.assert_array_equal(chooses.best.params["w"], [chosen, chosen])
    assert [values["val_accuracy"] for values in note.shown] == accuracies and note.shown == note.lines


def test_a_line_holds_what_is_promised(tmp_path):
    chooses, note = made(tmp_path, [(0.5, 1.5)], watched=["target"])
    chooses.on_pause(state_after(2), METRICS)
    expected = {"step": 2, "val_accuracy": 0.5, "val_loss": 1.5, "watched": {"target": 0.25}, "losses": [1.0, 2.0]}
    assert note.lines == [expected | {"agreement": 0.5, "images_per_second": 10.0}]


def test_a_validation_loss_that_is_not_finite_ends_the_run(tmp_path):
    chooses, note = made(tmp_path, [(0.5, np.nan)])
    with pytest.raises(errors.RunError, match="the validation loss of apple, google is nan at step 2"):
        chooses.on_pause(state_after(2), METRICS)
    assert not note.lines
