import chex
import jax
import numpy as np
import pytest

from dg_jax import surgery
from dg_jax.objectives import Stateful, fishr
from dg_jax.objectives.erm import erm
from tests import quick
from tests.objectives.worlds import KEY, apply_fn, domain_batch, evaluate, features_fn, head_fn, parameters


def updates(batches, **settings):
    """Losses, rows and states step after step, always at the parameters of worlds.py."""
    objective = fishr(features_fn, head_fn, **settings)
    update = quick.jit(chex.assert_max_traces(objective.update, n=1))
    state = objective.init(parameters(), batches[0])
    for step, batch in enumerate(batches):
        losses, rows, state = update(parameters(), batch, state, key=KEY, step=np.int32(step))
        yield jax.device_get(losses), jax.device_get(rows), np.asarray(state)


def variances(batch):
    """Variances of the gradients of single images with respect to the last layer, by automatic differentiation."""

    def risk(last, features, label):
        logits = features @ last["w2"] + last["b2"]
        return -jax.nn.log_softmax(logits)[label]

    params = parameters()
    last = {name: params[name] for name in ("w2", "b2")}
    found = []
    for images, labels in zip(batch["image"], batch["label"], strict=True):
        features = features_fn(params, images, key=None, train=True)
        each = jax.vmap(jax.grad(risk), in_axes=(None, 0, 0))(last, features, labels)
        found.append(np.concatenate([np.var(each["w2"], axis=0), np.var(each["b2"], axis=0)[None]]))
    return np.stack(found)


@pytest.mark.parametrize("n", [1, 3])
def test_each_loss_has_its_variances_distance_to_the_mean(n):
    batches, kept = [domain_batch(n, seed=seed) for seed in range(3)], 0
    found = updates(batches, anneal_steps=1, penalty_weight=5.0, ema=0.8)
    for step, (batch, (losses, _, state)) in enumerate(zip(batches, found, strict=True)):
        kept = 0.8 * kept + 0.2 * variances(batch)
        np.testing.assert_allclose(state, kept, rtol=1e-4, atol=1e-7)
        risks, _ = evaluate(erm(apply_fn), batch)
        distances = ((kept / 0.2 - kept.mean(axis=0) / 0.2) ** 2).mean(axis=(1, 2))
        np.testing.assert_allclose(losses, risks + (step >= 1) * 5.0 * distances, rtol=1e-4)


def test_before_the_penalty_it_is_erm():
    batch = domain_batch()
    ((*found, _),) = updates([batch], anneal_steps=1)
    chex.assert_trees_all_close(found, list(evaluate(erm(apply_fn), batch)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", ["accumulated", "two_pass"])
def test_other_forms_give_the_same_mean(form):
    batch, mean = domain_batch(), surgery.deep_all()
    gradients = []
    for one in ("stacked", form):
        objective = fishr(features_fn, head_fn, anneal_steps=0, form=one)
        _, jacobian, _ = objective.update(parameters(), batch, objective.init(parameters(), batch), key=KEY, step=0)
        gradients.append(mean.update(jacobian, mean.init(None))[0])
    chex.assert_trees_all_close(*gradients, rtol=1e-4, atol=1e-5)


def test_shapes_are_enough_for_a_first_state():
    shapes = jax.eval_shape(lambda batch: batch, domain_batch())
    state = fishr(features_fn, head_fn, anneal_steps=0).init(parameters(), shapes)
    np.testing.assert_array_equal(state, np.zeros((3, 8, 4)))


def test_an_objective_that_keeps_nothing_is_the_same_with_a_state():
    batch, plain = domain_batch(), erm(apply_fn)
    objective = Stateful.of(plain)
    assert Stateful.of(objective) is objective and objective.init(parameters(), batch) == ()
    losses, rows, kept = objective.update(parameters(), batch, (), key=KEY, step=0)
    assert kept == ()
    chex.assert_trees_all_equal((losses, rows), plain(parameters(), batch, key=KEY, step=0))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("penalty_weight", -1.0, "it must not be negative"),
        ("anneal_steps", -1, "it must not be negative"),
        ("ema", 1.0, "it must be at least 0 and below 1"),
        ("ema", float("nan"), "it must be at least 0 and below 1"),
    ],
)
def test_a_setting_out_of_range_is_named(name, value, wanted):
    with pytest.raises(ValueError, match=f"fishr: {name}={value}; {wanted}"):
        fishr(features_fn, head_fn, **{"anneal_steps": 0, name: value})


def test_one_image_does_not_vary():
    batch = domain_batch(size=1)
    objective = fishr(features_fn, head_fn, anneal_steps=0)
    with pytest.raises(ValueError, match="fishr needs at least 2 images per domain, for a variance; got 1"):
        objective.update(parameters(), batch, objective.init(parameters(), batch), key=KEY, step=0)
