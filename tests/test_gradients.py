"""Gradients of the domains one after the other: same numbers, and memory that does not grow."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import backend, gradients, surgery
from dg_jax.objectives.erm import erm
from dg_jax.objectives.irm import irm
from tests.objectives import worlds


@pytest.mark.parametrize(("is_cpu", "form", "other"), [(True, "unrolled", "vmap"), (False, "vmap", "unrolled")])
def test_the_device_chooses_the_form(monkeypatch, is_cpu, form, other):
    monkeypatch.setattr(backend, "is_cpu", lambda: is_cpu)

    def program(*chosen):
        over_domains = gradients.stacked_value_and_grad(lambda w, x: jnp.sum(w * x), *chosen)
        return str(jax.make_jaxpr(over_domains)(jnp.ones(2), jnp.ones((3, 2))))

    assert program() == program(form) != program(other)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("objective", [erm, irm])
def test_objectives_accumulate_what_they_else_stack(objective, n):
    batch = worlds.domain_batch(n)
    results = []
    for accumulate_domains in (True, False):
        called = objective(worlds.apply_with_dropout, accumulate_domains=accumulate_domains)
        results.append(worlds.evaluate(called, batch))
    (losses, accumulated), (expected, stacked) = results
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert accumulated.num_rows == n
    compare = chex.assert_trees_all_close
    compare(accumulated.total, jax.tree.map(lambda leaf: leaf.sum(axis=0), stacked), rtol=1e-4, atol=1e-6)
    compare(accumulated.smallest, jax.tree.map(lambda leaf: leaf.min(axis=0), stacked), rtol=1e-4, atol=1e-6)
    compare(accumulated.largest, jax.tree.map(lambda leaf: leaf.max(axis=0), stacked), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_losses_that_are_not_finite_change_no_count(broken):
    rows = np.array([[broken, 1], [2, 3]], np.float32)
    losses, accumulated = jax.jit(gradients.accumulated_value_and_grad(jnp.vdot))(np.ones(2, np.float32), rows)
    np.testing.assert_array_equal(losses, [broken, 5])
    np.testing.assert_array_equal(accumulated.total, [broken, 4])
    assert accumulated.num_rows == 2


def gradients_held(over_domains, n):
    """Temporary memory of a compiled step of Agr-Sum on n domains, in units of one gradient."""
    params = {"w": jax.ShapeDtypeStruct((256, 1024), jnp.float32), "v": jax.ShapeDtypeStruct((1024, 1), jnp.float32)}
    optimizer = optax.chain(surgery.agr_sum(), optax.adam(1e-3))

    def loss(params, x):
        return jnp.mean(jax.nn.relu(x @ params["w"]) @ params["v"])

    def step(params, state, x):
        _, rows = over_domains(loss)(params, x)
        updates, state = optimizer.update(rows, state, params)
        return optax.apply_updates(params, updates), state

    arguments = params, jax.eval_shape(optimizer.init, params), jax.ShapeDtypeStruct((n, 2, 256), jnp.float32)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments)
    compiled = lowered.compile(compiler_options=backend.compiler_options())
    return compiled.memory_analysis().temp_size_in_bytes / (4 * params["w"].size)


def test_memory_does_not_grow_with_the_number_of_domains():
    few, many = (gradients_held(gradients.accumulated_value_and_grad, n) for n in (3, 12))
    assert abs(many - few) < 1
    few, many = (gradients_held(gradients.stacked_value_and_grad, n) for n in (3, 12))
    assert many - few >= 8


def test_one_after_the_other_the_activations_of_one_domain_at_a_time_are_kept():
    layers = [jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 4

    def loss(params, x):
        return jnp.mean(functools.reduce(lambda x, w: jax.nn.relu(x @ w), params, x))

    def activations_held(n):
        gradients_of_all = jax.jit(gradients.stacked_value_and_grad(loss, "unrolled"))
        compiled = gradients_of_all.lower(layers, jax.ShapeDtypeStruct((n, 1024, 64), jnp.float32)).compile(
            compiler_options=backend.compiler_options()
        )
        return compiled.memory_analysis().temp_size_in_bytes / (4 * 1024 * 64)

    assert activations_held(12) - activations_held(3) < 4  # of them 2.25 are gradients


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_change_no_order(broken):
    rows = np.array([[broken, 1], [2, 3], [4, 5]], np.float32)
    losses, stacked = jax.jit(gradients.stacked_value_and_grad(jnp.vdot, "unrolled"))(np.ones(2, np.float32), rows)
    np.testing.assert_array_equal(losses, [broken, 5, 9])
    np.testing.assert_array_equal(stacked, rows)
