"""Every objective goes with every combiner."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax.objectives.erm import erm
from dg_jax.objectives.irm import irm
from dg_jax.objectives.mixup import mixup
from dg_jax.objectives.mldg import mldg
from dg_jax.objectives.pooled import pooled
from dg_jax.surgery import agr_rand, agr_sum, deep_all, group_dro, pcgrad
from tests import quick

DOMAINS = 3
ROWS = {"erm": DOMAINS, "pooled": 1, "irm": DOMAINS, "mixup": DOMAINS, "mldg": DOMAINS - 1}
COMBINERS = {"deep_all": deep_all, "agr_sum": agr_sum, "agr_rand": agr_rand, "pcgrad": pcgrad, "group_dro": group_dro}


def linear(params, images, *, key, train):
    del key, train
    return images.reshape(len(images), -1) @ params


@functools.cache  # one compilation for the five combiners
def jitted_objective(name):
    objectives = {
        "erm": lambda: erm(linear),
        "pooled": lambda: pooled(linear),
        "irm": lambda: irm(linear, anneal_steps=1),  # the second step has the other weight
        "mixup": lambda: mixup(linear),
        "mldg": lambda: mldg(linear, learning_rate=1e-2, weight_decay=5e-5),
    }
    return quick.jit(objectives[name]())


@functools.cache
def jitted_optimizer(combiner, rows):
    settings = {"num_rows": rows} if combiner == "group_dro" else {}
    chain = optax.chain(COMBINERS[combiner](**settings), optax.add_decayed_weights(5e-5), optax.sgd(0.1))
    return chain.init, quick.jit(chain.update)


def two_steps(objective, optimizer, batches):
    """The parameters after one step on each of two batches."""
    init, update = optimizer
    params = jnp.asarray(np.random.default_rng(0).normal(size=(12, 4)), jnp.float32)
    state = init(params)
    for step, batch in enumerate(batches):
        losses, rows = objective(params, batch, key=jax.random.fold_in(jax.random.key(1), step), step=step)
        assert jnp.all(jnp.isfinite(losses))
        updates, state = update(rows, state, params, losses=losses)
        params = optax.apply_updates(params, updates)
    assert jnp.all(jnp.isfinite(params))
    return params


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("objective", ROWS)
def test_two_steps_are_finite_and_depend_on_every_domain(objective, combiner):
    run = functools.partial(two_steps, jitted_objective(objective), jitted_optimizer(combiner, ROWS[objective]))
    rng = np.random.default_rng(0)
    images = rng.normal(size=(DOMAINS, 4, 2, 2, 3)).astype(np.float32)
    batch = {"image": images, "label": rng.integers(4, size=(DOMAINS, 4))}
    params = run([batch, batch])
    for domain in range(DOMAINS):
        changed = images.copy()
        changed[domain] = rng.normal(size=images.shape[1:])
        other = batch | {"image": changed}
        for batches in ([other, batch], [batch, other]):
            # by more than rounding
            assert jnp.max(jnp.abs(params - run(batches))) > 1e-4, f"domain {domain} does not matter"
