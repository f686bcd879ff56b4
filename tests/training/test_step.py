import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import config, surgery
from dg_jax.data import sampling
from dg_jax.training import keys, step
from tests.training import worlds


def made(tmp_path, **settings):
    run = worlds.tiny_config(tmp_path, **settings)
    data = worlds.tiny_dataset()
    batches = step.domain_batches(run, [data.domains[source]["train"] for source in run.sources])
    params, apply_fn = worlds.linear_model()
    return run, batches, params, apply_fn, step.make_trainer(run, apply_fn, params, batches)


@pytest.mark.parametrize("strategy", ["agr_sum", "deep_all"])
def test_a_step_is_the_papers_chain(strategy, tmp_path):
    """Compares with the chain written out: gradients by domain, combined, plus λ times the parameters, then Adam."""
    _, batches, params, apply_fn, trainer = made(tmp_path, strategy=strategy, learning_rate=0.1, weight_decay=0.3)
    params = {name: leaf + 1 for name, leaf in params.items()}
    adam = optax.adam(0.1)
    state, expected, moments = trainer.init(params), params, adam.init(params)
    for number in range(3):
        value = next(batches.values(number))
        batch = batches.draw(value, number)

        def loss(params, image, label):
            return optax.softmax_cross_entropy_with_integer_labels(apply_fn(params, image), label).mean()

        rows = [jax.value_and_grad(loss)(expected, *row) for row in zip(batch["image"], batch["label"], strict=True)]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(gradient for _, gradient in rows))
        if strategy == "agr_sum":
            agrees = surgery.agreement(stacked)
            combined = jax.tree.map(lambda leaf, phi: jnp.where(phi, leaf.sum(0), 0), stacked, agrees)
        else:
            combined = jax.tree.map(lambda leaf: leaf.mean(0), stacked)
        decayed = jax.tree.map(lambda gradient, leaf: gradient + 0.3 * leaf, combined, expected)
        updates, moments = adam.update(decayed, moments)
        expected = optax.apply_updates(expected, updates)
        state, metrics = jax.jit(trainer.step)(state, value)
        losses = np.array([value for value, _ in rows])
        np.testing.assert_allclose(metrics.losses, losses if strategy == "agr_sum" else [losses.mean()], rtol=1e-5)
    assert int(state.step) == 3
    for name, leaf in expected.items():
        np.testing.assert_allclose(state.params[name], leaf, rtol=1e-4, atol=1e-5)


def test_rates_are_in_the_state_and_not_in_the_program(tmp_path):
    run, batches, params, _, trainer = made(tmp_path, learning_rate=0.1, weight_decay=0.0)
    other = config.changed(run, learning_rate=0.2)
    states = [trainer.init(params, rates=step.rates(one)) for one in (run, other)]
    take = jax.jit(trainer.step)
    value = next(batches.values(0))
    moved = [take(state, value)[0].params["kernel"] for state in states]
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-5)
    assert take._cache_size() == 1
    assert optax.tree.get(states[1].opt_state, "learning_rate") == np.float32(0.2)


def test_metrics_are_the_scalars_of_the_combiner(tmp_path):
    for strategy, names in (("agr_sum", {"agreement"}), ("agr_rand", {"agreement", "sigma"}), ("deep_all", set())):
        _, batches, params, _, trainer = made(tmp_path, strategy=strategy)
        _, metrics = jax.eval_shape(trainer.step, trainer.init(params), batches.like)
        assert metrics.combiner.keys() == names


def test_batches_are_the_runs_own(tmp_path):
    run, batches, *_ = made(tmp_path, seed=5)
    data = worlds.tiny_dataset()
    sources = [data.domains[source]["train"] for source in run.sources]
    key = keys.key_for(5, keys.Purpose.SAMPLING)
    expected = sampling.sample_domain_batch(sources, key, 2, run.optimisation.batch_size)
    drawn = batches.draw(next(batches.values(2)), 2)
    np.testing.assert_array_equal(drawn["label"], expected["label"])
    assert batches.images_per_step == 2 * run.optimisation.batch_size


def test_the_learning_rate_drops_at_its_step_and_not_before(tmp_path):
    """Adam's updates are those of a run without the drop, times the factor from that step on."""
    updates = {}
    for drop in (None, "2:0.25"):
        _, batches, params, _, trainer = made(tmp_path, learning_rate=1e-4, learning_rate_drop=drop)
        state, take = trainer.init(params), jax.jit(trainer.step)
        for number in range(4):
            before = state.params["kernel"]
            state, _ = take(state, next(batches.values(number)))
            updates.setdefault(drop, []).append(np.asarray(state.params["kernel"] - before))
    for number, (plain, dropped) in enumerate(zip(*updates.values(), strict=True)):
        np.testing.assert_allclose(dropped, plain * (1 if number < 2 else 0.25), rtol=2e-2, atol=1e-7)
