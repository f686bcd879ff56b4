import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import models
from dg_jax.training import frozen, step
from tests import quick
from tests.training import worlds

LAYERS = ("conv1", "conv3")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_frozen_layers_count_as_before_and_only_the_others_have_gradients(dtype):
    params, apply_fn = models.create("small_cnn", 8, jax.random.key(0), dtype=dtype)
    trained, kept = frozen.split(params, LAYERS)
    assert (set(trained), set(kept)) == ({"conv2", "dense"}, set(LAYERS))
    jax.tree.map(np.testing.assert_array_equal, frozen.joined(trained, kept), params)
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    same, network = frozen.of_trained(apply_fn, params, LAYERS)
    assert set(same) == set(trained)
    np.testing.assert_array_equal(network(trained, images), apply_fn(params, images))
    np.testing.assert_array_equal(network.head(trained, network.features(trained, images)), apply_fn(params, images))

    def gradients(params, apply_fn):
        return jax.grad(lambda params: jnp.sum(apply_fn(params, images) ** 2))(params)

    found = jax.device_get(quick.jit(lambda params: gradients(params, network))(trained))
    expected = jax.device_get(quick.jit(lambda params: gradients(params, apply_fn))(params))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, found, {layer: expected[layer] for layer in ("conv2", "dense")})


def test_without_frozen_layers_any_network_stays_as_it_is():
    params, apply_fn = worlds.linear_model()
    assert frozen.split(jnp.ones(3), ()) == (pytest.approx(jnp.ones(3)), {})
    assert frozen.split(params, ()) == (params, {}) and frozen.joined(params, {}) is params
    assert frozen.of_trained(apply_fn, params, ()) == (params, apply_fn)


@pytest.mark.parametrize("strategy", ["deep_all", "agr_sum", "agr_rand", "pcgrad", "mldg", "fishr", "group_dro"])
def test_a_step_is_that_of_the_network_whose_only_parameters_are_those_trained(strategy, tmp_path):
    config = worlds.tiny_config(tmp_path, strategy=strategy, frozen_layers=LAYERS, learning_rate=0.01, weight_decay=0.1)
    plain = worlds.tiny_config(tmp_path, strategy=strategy, learning_rate=0.01, weight_decay=0.1)
    data = worlds.tiny_dataset()
    batches = step.domain_batches(config, [data.domains[source]["train"] for source in config.sources])
    params, apply_fn = models.create("small_cnn", 3, jax.random.key(0))
    _, kept = frozen.split(params, LAYERS)
    trained, network = frozen.of_trained(apply_fn, params, LAYERS)
    one = step.make_trainer(config, apply_fn, params, batches)
    other = step.make_trainer(plain, network, trained, batches)
    states = one.init(params), other.init(trained)
    for number, value in zip(range(2), batches.values(0), strict=False):
        states, metrics = zip(
            *(quick.jit(trainer.step)(state, value) for trainer, state in zip((one, other), states, strict=True)),
            strict=True,
        )
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *metrics)
        assert int(states[0].step) == number + 1
    jax.tree.map(np.testing.assert_array_equal, frozen.split(states[0].params, LAYERS)[1], kept)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, frozen.split(states[0].params, LAYERS)[0], states[1].params)
    assert jax.tree.structure(states[0].opt_state) == jax.tree.structure(states[1].opt_state)
