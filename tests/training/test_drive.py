"""New ways to train: each a small object that the driver calls."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import errors
from dg_jax.training import advance, drive, interrupt, metrics_file, run_folder, step
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")


@pytest.fixture(params=[True, False], ids=["step by step", "as one program"])
def training(request, tmp_path):
    """Returns ``train(hooks, iterations=6) -> (params, metrics, steps done)``, for both forms of :class:`Advance`."""
    config = worlds.tiny_config(tmp_path, learning_rate=0.05)
    data = worlds.tiny_dataset()
    batches = step.domain_batches(config, [data.domains[source]["train"] for source in config.sources])
    params, apply_fn = worlds.linear_model()
    trainer = step.make_trainer(config, apply_fn, params, batches)

    def train(hooks, iterations=6):
        state = trainer.init(jax.tree.map(jnp.copy, params))
        take_steps = advance.Advance(trainer.step, batches, 0, stepwise=request.param)
        with interrupt.StopRequest() as stop:
            state, metrics = drive.drive(take_steps, state, iterations, hooks, sources=[config.sources], stop=stop)
        return jax.tree.map(np.asarray, state.params), metrics, take_steps.done

    return train


class AveragedWeights(drive.Hook):
    """Keeps the mean of the parameters over the steps, and the parameters themselves to check it."""

    every = 1

    def __init__(self):
        self.mean, self.all = None, []

    def on_pause(self, state, metrics):
        self.all.append(jax.tree.map(np.asarray, state.params))
        number = len(self.all)
        previous = state.params if self.mean is None else self.mean
        self.mean = optax.incremental_update(state.params, previous, 1 / number)


class Target(drive.Hook):
    """A second network that follows the first slowly, and replaces it every few steps."""

    every = 3

    def __init__(self, params):
        self.params = params

    def on_pause(self, state, metrics):
        self.params = optax.incremental_update(state.params, self.params, 0.5)
        return state._replace(params=jax.tree.map(jnp.copy, self.params))


class LowLoss(drive.Hook):
    """Ends the training once all losses are below a bound."""

    every = 2

    def __init__(self, bound):
        self.bound = bound

    def on_pause(self, state, metrics):
        if (metrics.losses < self.bound).all():
            raise drive.Enough


class Record(drive.Hook):
    """Notes every call."""

    def __init__(self, every=None):
        self.every, self.steps, self.pauses, self.stops = every, [], [], []

    def on_step(self, number, metrics):
        assert np.isfinite(metrics.losses).all() and metrics.losses.shape == (2,)
        self.steps.append(number)

    def on_pause(self, state, metrics):
        self.pauses.append(int(state.step))

    def on_stop(self, state):
        self.stops.append(int(state.step))


def test_averaged_weights(training):
    averaged = AveragedWeights()
    plain, _, _ = training([])
    last, _, _ = training([averaged])
    assert len(averaged.all) == 6
    for name, leaf in averaged.mean.items():
        np.testing.assert_allclose(leaf, np.mean([one[name] for one in averaged.all], axis=0), rtol=1e-5)
        assert np.abs(leaf - last[name]).max() > 1e-3
        np.testing.assert_allclose(last[name], plain[name], rtol=1e-5, atol=1e-6)  # the hook changes nothing


def test_a_second_network_takes_the_place_of_the_first(training):
    start, _ = worlds.linear_model()
    target = Target(start)
    after_three, _, _ = training([], iterations=3)
    params, _, _ = training([target], iterations=3)
    for name, leaf in params.items():
        np.testing.assert_allclose(leaf, (np.asarray(start[name]) + after_three[name]) / 2, rtol=1e-5, atol=1e-6)
    longer, _, _ = training([Target(start)])
    plain, _, _ = training([])
    assert max(np.abs(longer[name] - plain[name]).max() for name in plain) > 1e-3


def test_another_stop(training):
    seen = Record(every=1)
    _, metrics, done = training([LowLoss(10.0), seen])
    assert done == 2 and seen.steps == [1, 2]
    assert (metrics.losses < 10).all()
    _, _, done = training([LowLoss(0.0)])
    assert done == 6


@pytest.mark.parametrize(("every", "other"), [(2, 3), (4, None), (7, 5), (1, 1)])
def test_pauses_are_at_the_multiples_of_each_hook_and_every_step_is_told(training, every, other):
    one, two, silent = Record(every), Record(other), Record()
    _, metrics, done = training([one, two, silent])
    assert done == 6 and metrics is not None
    for hook in (one, two, silent):
        assert hook.steps == [1, 2, 3, 4, 5, 6]
        assert hook.pauses == [number for number in range(1, 7) if hook.every and number % hook.every == 0]
        assert not hook.stops


def test_a_signal_stops_at_the_next_state_and_tells_all_hooks(training):
    seen = Record(every=4)

    class Kill(drive.Hook):
        def on_step(self, number, metrics):
            if number == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(interrupt.Interrupted, match=r"stopped after step [24] of 6"):
        training([Kill(), seen])
    assert seen.stops in ([2], [4])
    assert seen.pauses == ([4] if seen.stops == [4] else [])


def test_a_state_that_a_hook_breaks_ends_the_training(training):
    class Breaks(drive.Hook):
        every = 2

        def on_pause(self, state, metrics):
            return state._replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))

    with pytest.raises(errors.RunError, match="loss of apple, google is nan at step 3"):
        training([Breaks()])


def test_a_run_takes_hooks_and_validates_what_they_make(tmp_path):
    class Frozen(drive.Hook):
        """Puts the first parameters back before each validation."""

        every = 2

        def on_pause(self, state, metrics):
            return state._replace(params=worlds.linear_model()[0])

    plain = worlds.tiny_config(tmp_path / "plain", learning_rate=0.05)
    frozen = worlds.tiny_config(tmp_path / "frozen", learning_rate=0.05)
    worlds.train(plain)
    seen = Record(every=3)
    result = worlds.train(frozen, hooks=[Frozen(), seen])
    losses = [
        [line["val_loss"] for line in metrics_file.validations(run_folder.folder_of(config).metrics_file)]
        for config in (plain, frozen)
    ]
    assert len(set(losses[0])) == 3 and len(set(losses[1])) == 1
    assert seen.pauses == [3, 6]
    assert result["selected_step"] == 2


def test_a_run_that_a_hook_ends_early_says_so(tmp_path):
    config = worlds.tiny_config(tmp_path, val_every=1)
    result = worlds.train(config, hooks=[LowLoss(10.0)])
    assert result["ended_after_step"] == 2 and result["selected_step"] <= 2
    assert "ended_after_step" not in worlds.train(worlds.tiny_config(tmp_path / "whole"))
