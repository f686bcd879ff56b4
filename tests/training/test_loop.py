import dataclasses
import functools
import json
import os
import signal

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from dg_jax import errors, strategies
from dg_jax.config import changed, methods
from dg_jax.models import functional
from dg_jax.training import checkpoints, drive, interrupt, progress, run_folder, step, swad
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")

TIMES = ("wall_seconds", "images_per_second")


def without_times(result):
    return {name: value for name, value in result.items() if name not in TIMES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs, each done once: ``whole(strategy, iterations) -> (config, result)``."""

    @functools.cache
    def train(strategy, iterations):
        config = worlds.tiny_config(tmp_path_factory.mktemp("whole"), strategy=strategy, iterations=iterations)
        return config, worlds.train(config)

    return train


@pytest.mark.parametrize(
    "strategy", [*strategies.PAPER, "vrex", "iga", "sum", "grad_vac", "cagrad", "and_mask", "gga_l"]
)
def test_every_strategy_learns_the_tiny_task(strategy, tmp_path):
    config = worlds.tiny_config(tmp_path, strategy=strategy, iterations=200, val_every=100, learning_rate=0.05)
    result = worlds.train(config)
    assert result["test_accuracy"] > 0.8
    assert result["strategy"] == strategy


def test_result_and_metrics_hold_what_is_promised(tmp_path):
    config = worlds.tiny_config(tmp_path, iterations=5)
    result = worlds.train(config)
    folder = tmp_path / "emoji" / "windows" / "agr_sum" / "seed-0"
    assert json.loads((folder / "result.json").read_text()) == result
    assert result["sources"] == ["apple", "google"]
    assert set(result["versions"]) == {"python", "jax", "jaxlib", "numpy", "flax", "optax", "dg_jax"}
    assert result["platform"] == jax.devices()[0].platform and set(result["host"]) == {"system", "processor", "cores"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert len(lines[0]["losses"]) == 2
    assert 0 <= lines[0]["agreement"] <= 1
    best = max(line["val_accuracy"] for line in lines)
    assert result["val_accuracy"] == best
    assert result["selected_step"] == next(line["step"] for line in lines if line["val_accuracy"] == best)
    assert json.loads((folder / "config.json").read_text())["iterations"] == 5
    assert [path.name for path in (folder / "checkpoints" / "last").iterdir()] == ["5"]
    assert [path.name for path in (folder / "checkpoints" / "best").iterdir()] == [str(result["selected_step"])]


def features_model():
    """The linear model with features and a last layer."""
    params, _ = worlds.linear_model()

    def features_of(params, constants, images, *, key, train):
        return images.mean(axis=(1, 2))

    def logits_of(params, constants, features):
        return features @ params["kernel"] + params["bias"]

    return params, functional.Pure(features_of, logits_of, {})


@pytest.mark.parametrize(
    "settings",
    [{"average": "ema"}, {"average": "swad", "swad": methods.Swad(n_converge=1, n_tolerance=2)}, {"strategy": "fishr"}],
    ids=str,
)
def test_averages_and_what_an_objective_keeps_go_on_too(settings, tmp_path):
    settings |= {"iterations": 9, "learning_rate": 0.05}
    config = worlds.tiny_config(tmp_path / "whole", **settings)
    expected = worlds.train(config, features_model())
    half = worlds.tiny_config(tmp_path / "half", **(settings | {"iterations": 5}))
    if config.strategy == "fishr":  # half of the steps of the whole run
        half = changed(half, fishr=dataclasses.replace(half.method.fishr, anneal_steps=4))
    worlds.train(half, features_model())
    rest = changed(half, iterations=9, resume=True)
    assert without_times(worlds.train(rest, features_model())) == without_times(expected)
    state, expected_state = worlds.last_state(rest), worlds.last_state(config)
    assert any("kept" in name or "average" in name for name in state)
    for name, value in expected_state.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)


class Parameters(drive.Hook):
    """Notes the parameters after each step."""

    every = 1

    def __init__(self):
        self.seen = []

    def on_pause(self, state, metrics):
        self.seen.append(jax.device_get(state.params))


def test_averages_are_of_the_parameters_after_each_step(tmp_path):
    noted, results, selected = Parameters(), {}, {}
    ema, wanted = methods.Ema(decay=0.5), methods.Swad(n_converge=1, n_tolerance=2)
    for kind in ("none", "ema", "swad"):
        own = {"none": {}, "ema": {"ema": ema}, "swad": {"swad": wanted}}[kind]
        config = worlds.tiny_config(tmp_path / kind, average=kind, iterations=9, learning_rate=0.05, **own)
        results[kind] = worlds.train(config, hooks=[noted] if kind == "none" else [])
        folder = run_folder.folder_of(config)
        like = worlds.linear_model()[0]
        selected[kind], _ = checkpoints.read_selected(folder.checkpoints, jax.tree.map(np.zeros_like, like), {})
        assert results[kind]["test_accuracy_last"] == results["none"]["test_accuracy_last"]
    average = noted.seen[0]
    for number, params in enumerate(noted.seen[: results["ema"]["selected_step"]], 1):
        average = optax.incremental_update(params, average, max(1 / number, 0.5))
    chex.assert_trees_all_close(selected["ema"], average, rtol=1e-5, atol=1e-7)
    lines = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    valley, before = swad.init(like, wanted), 0
    for line in lines:
        segment = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *noted.seen[before : line["step"]])
        valley = swad.after_validation(valley, segment, line["step"] - before, line["val_loss"], wanted)
        before = line["step"]
    assert int(valley.start)
    chex.assert_trees_all_close(selected["swad"], swad.average(valley), rtol=1e-5, atol=1e-7)
    assert results["swad"]["selected_step"] == 9


def test_the_same_run_twice_gives_the_same(whole, tmp_path):
    _, one = whole("agr_rand", 9)
    two = worlds.train(worlds.tiny_config(tmp_path / "two", strategy="agr_rand", iterations=9))
    other = worlds.train(worlds.tiny_config(tmp_path / "three", strategy="agr_rand", iterations=9, seed=1))
    assert without_times(one) == without_times(two)
    assert one["test_loss"] != other["test_loss"]


@pytest.mark.parametrize("methods", [{"strategy": "agr_rand"}, {"strategy": "irm", "combiner": "agr_sum"}])
def test_accumulated_domains_give_the_numbers_of_stacked_gradients(methods, tmp_path):
    stacked = worlds.tiny_config(tmp_path / "stacked", **methods)
    accumulated = worlds.tiny_config(tmp_path / "accumulated", **methods, gradients="accumulated")
    results = [worlds.train(config) for config in (stacked, accumulated)]
    assert results[0]["test_loss"] == pytest.approx(results[1]["test_loss"], rel=1e-5)
    for one, other in zip(
        *(run_folder.folder_of(config).metrics_file.read_text().splitlines() for config in (stacked, accumulated)),
        strict=True,
    ):
        one, other = json.loads(one), json.loads(other)
        np.testing.assert_allclose(one["losses"], other["losses"], rtol=1e-5)
        assert one["agreement"] == other["agreement"]


@pytest.mark.parametrize("strategy", ["agr_sum", "agr_rand", "pcgrad"])
@pytest.mark.parametrize("stopped_at", [4, 5])
def test_fewer_steps_resumed_to_more_equal_all_at_once(strategy, stopped_at, whole, tmp_path):
    whole_config, expected = whole(strategy, 9)
    half = worlds.tiny_config(tmp_path, strategy=strategy, iterations=stopped_at)
    worlds.train(half)
    rest = changed(half, iterations=9, resume=True)
    assert without_times(worlds.train(rest)) == without_times(expected)
    state, expected_state = worlds.last_state(rest), worlds.last_state(whole_config)
    assert state.keys() == expected_state.keys()
    for name, value in expected_state.items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
    metrics = [run_folder.folder_of(config).metrics_file.read_text().splitlines() for config in (rest, whole_config)]
    steps = [[json.loads(line)["step"] for line in lines] for lines in metrics]
    assert steps[0] == steps[1]


@pytest.mark.parametrize(
    ("number", "stopped_at"), [(signal.SIGINT, 3), (signal.SIGTERM, 3), (signal.SIGTERM, 4), (signal.SIGTERM, 6)]
)
def test_a_signal_leaves_a_checkpoint_from_which_the_run_ends_the_same(number, stopped_at, whole, tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    config = worlds.tiny_config(tmp_path)
    whole_config, expected = whole("agr_sum", 6)

    def stop(self, step, metrics):
        if step == stopped_at:
            os.kill(os.getpid(), number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Display, "on_step", stop)
        with pytest.raises(interrupt.Interrupted, match=f"stopped after step {stopped_at} of 6") as stopped:
            worlds.train(config)
    assert stopped.value.signal_number == number
    assert not run_folder.folder_of(config).result_file.exists()
    resumed = worlds.train(changed(config, resume=True))
    assert without_times(resumed) == without_times(expected)
    metrics = [run_folder.folder_of(done).metrics_file.read_text().splitlines() for done in (config, whole_config)]
    steps = [[json.loads(line)["step"] for line in lines] for lines in metrics]
    assert steps == [[2, 4, 6], [2, 4, 6]]
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_loss_that_is_not_finite_names_step_and_domain_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    def broken_erm(apply_fn):
        def objective(params, domain_batch, *, key, step):
            losses = jnp.where((jnp.arange(2) == 1) & (step == 4), jnp.nan, 1.0)
            return losses, jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape)), params)

        return objective

    monkeypatch.setattr("dg_jax.objectives.erm", broken_erm)
    config = worlds.tiny_config(tmp_path)
    with pytest.raises(errors.UserError, match="the loss of google is nan at step 5;"):
        worlds.train(config)
    folder = run_folder.folder_of(config)
    assert not folder.result_file.exists()
    kept = sorted(int(path.name) for path in (folder.checkpoints / "last").iterdir())
    assert kept
    assert kept[-1] <= 4


def test_a_step_is_compiled_once(tmp_path, monkeypatch):
    make_trainer = step.make_trainer

    def counted(*arguments):
        trainer = make_trainer(*arguments)
        return dataclasses.replace(trainer, step=chex.assert_max_traces(trainer.step, n=1))

    monkeypatch.setattr(step, "make_trainer", counted)
    worlds.train(worlds.tiny_config(tmp_path, iterations=5))


def random_like(shapes):
    """Fills a tree of shapes with arrays from NumPy: JAX would compile a program for each shape."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        return jnp.asarray(rng.normal(0, 0.1, leaf.shape), leaf.dtype) if is_shape else leaf

    return jax.tree.map(draw, shapes)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, images, train):
        x = linen.relu(linen.Conv(8, (3, 3))(images)).mean(axis=(1, 2))
        return linen.Dense(3)(linen.Dropout(0.1, deterministic=not train)(x))


def linen_model():
    net = LinenNet()

    def apply_fn(params, images, *, key=None, train=False):
        return net.apply(params, images, train, rngs={"dropout": key} if train else None)

    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)), False))
    return random_like(shapes), apply_fn


def equinox_model():
    shapes = eqx.filter_eval_shape(eqx.nn.MLP, 192, 3, 16, 1, key=jax.random.key(0))
    params, static = eqx.partition(random_like(shapes), eqx.is_array)

    def apply_fn(params, images, *, key=None, train=False):
        return jax.vmap(eqx.combine(params, static))(images.reshape(len(images), -1))

    return params, apply_fn


@pytest.mark.parametrize("model", [linen_model, equinox_model, worlds.linear_model])
@pytest.mark.parametrize("strategy", ["deep_all", "agr_rand"])
def test_models_of_other_libraries_train_and_resume(model, strategy, tmp_path):
    config = worlds.tiny_config(tmp_path, strategy=strategy, iterations=4)
    worlds.train(config, model())
    before = worlds.last_state(config)
    more = changed(config, iterations=6, resume=True)
    worlds.train(more, model())
    after = worlds.last_state(more)
    moved = [name for name in after if name.startswith("['params']") and np.any(after[name] != before[name])]
    assert moved
    assert all(np.all(np.isfinite(after[name])) for name in moved)
