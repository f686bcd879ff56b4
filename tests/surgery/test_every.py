"""``every`` against the rule itself at the steps that ask it; between them there is one backward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from tests import quick

X = np.random.default_rng(0).normal(size=(6, 3, 2, 4)).astype(np.float32)  # steps, domains, examples
PARAMS = {"w": np.full((4, 2), 0.3, np.float32), "b": np.zeros(2, np.float32)}
RULES = {
    "pcgrad": surgery.pcgrad(),
    "grad_vac": surgery.grad_vac(num_rows=3),
    "cagrad": surgery.cagrad(),
    "upgrad": surgery.upgrad(),
    "group_dro": surgery.group_dro(num_rows=3),
    "deep_all": surgery.deep_all(),
}


def loss(params, x):
    return jnp.mean((jnp.tanh(x @ params["w"]) + params["b"] - 1) ** 2 * jnp.array([1.0, -0.5]))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("form", ["on_demand", "two_pass"])
def test_weights_are_those_of_the_last_step_that_asked(name, form):
    rule, k = RULES[name], 3
    combiner = surgery.every(k, rule, num_rows=3)

    @quick.jit
    def steps():
        def step(state, x):
            losses, jacobian = surgery.value_and_grads(loss, form)(PARAMS, x)
            result, state = combiner.update(jacobian, state, PARAMS, losses=losses)
            return state, (result, state.weights)

        return jax.lax.scan(step, combiner.init(PARAMS), X)[1]

    @quick.jit
    def asked(state, x):
        losses, jacobian = surgery.value_and_grads(loss)(PARAMS, x)
        return losses, jacobian, rule.update(jacobian, state, PARAMS, losses=losses)

    results, weights = jax.device_get(steps())
    state = rule.init(PARAMS)
    for t, x in enumerate(X):
        _, stacked, (of_rule, next_state) = asked(state, x)
        if t % k == 0:
            state = next_state
            for leaf, expected in of_rule.items():
                np.testing.assert_allclose(results[leaf][t], expected, rtol=2e-3, atol=2e-5)
        np.testing.assert_array_equal(weights[t], weights[t - t % k])
        for leaf, rows in stacked.items():
            expected = np.einsum("i,i...->...", weights[t], rows)
            np.testing.assert_allclose(results[leaf][t], expected, rtol=1e-4, atol=1e-6)


def test_a_cheap_step_has_one_backward_pass_for_each_domain():
    calls = []

    @jax.custom_vjp
    def counted(x):
        return x

    counted.defvjp(lambda x: (x, None), lambda _, g: (jax.debug.callback(lambda: calls.append(1)), (g,))[1])
    combiner = surgery.every(2, surgery.mgda(), num_rows=3)

    @jax.jit
    def step(state, x):
        def counted_loss(params, x):
            return loss(params, counted(x + params["b"][0]))

        _, jacobian = surgery.value_and_grads(counted_loss, "on_demand")(PARAMS, x)
        return combiner.update(jacobian, state)

    state, counts = combiner.init(PARAMS), []
    for x in X[:4]:
        calls.clear()
        _, state = jax.block_until_ready(step(state, x))
        jax.effects_barrier()
        counts.append(len(calls))
    assert counts == [2 * counts[1], counts[1], 2 * counts[1], counts[1]] and counts[1] > 0


def test_any_combiner_with_two_passes_takes_a_jacobian_on_demand():
    @functools.partial(quick.jit, static_argnums=0)
    def combined(form):
        losses, jacobian = surgery.value_and_grads(loss, form)(PARAMS, X[0])
        return {name: rule.update(jacobian, rule.init(PARAMS), losses=losses)[0] for name, rule in RULES.items()}

    for one, other in zip(jax.tree.leaves(combined("two_pass")), jax.tree.leaves(combined("on_demand")), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_losses_that_differ():
    losses = [lambda p: jnp.sum(p["w"] ** 2) + p["b"][0], lambda p: jnp.sum(jnp.sin(p["w"])) - p["b"][0]]
    combiner = surgery.every(1, surgery.upgrad(), num_rows=2)
    rule = surgery.upgrad()

    @quick.jit
    def both():
        on_demand, stacked = (surgery.value_and_jacobian(losses, form)(PARAMS)[1] for form in ("on_demand", "stacked"))
        return combiner.update(on_demand, combiner.init(PARAMS))[0], rule.update(stacked, rule.init(PARAMS))[0]

    for one, other in zip(*map(jax.tree.leaves, both()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_settings_out_of_range_are_named():
    for settings in ({"k": 0, "num_rows": 3}, {"k": 2, "num_rows": 0}, {"k": 1.5, "num_rows": 3}):
        with pytest.raises(ValueError, match=r"every: (k|num_rows)=.*; it must be an integer of at least 1"):
            surgery.every(rule=surgery.mgda(), **settings)
    combiner = surgery.every(2, surgery.mgda(), num_rows=4)
    _, stacked = surgery.value_and_grads(loss)(PARAMS, X[0])
    with pytest.raises(ValueError, match="every does not take form='stacked', only 'on_demand' or 'two_pass'"):
        combiner.update(stacked, combiner.init(PARAMS))
    _, jacobian = surgery.value_and_grads(loss, "on_demand")(PARAMS, X[0])
    with pytest.raises(ValueError, match="every: num_rows=4, but the gradients have 3 rows"):
        combiner.update(jacobian, combiner.init(PARAMS))
    of_agr_sum = surgery.every(2, surgery.agr_sum(), num_rows=3)
    with pytest.raises(ValueError, match="agr_sum does not take form='two_pass'"):
        of_agr_sum.update(jacobian, of_agr_sum.init(PARAMS))
    with pytest.raises(ValueError, match="agr_sum does not take form='on_demand'"):
        surgery.agr_sum().update(jacobian, surgery.agr_sum().init(PARAMS))


def test_a_step_may_take_the_state_as_its_own():
    """Kept values pass through a step unchanged, and no buffer may be donated twice."""
    combiner = surgery.every(2, surgery.mgda(), num_rows=3)

    @functools.partial(quick.jit, donate_argnums=0)
    def step(state, x):
        _, jacobian = surgery.value_and_grads(loss, "on_demand")(PARAMS, x)
        return combiner.update(jacobian, state)[1]

    state = combiner.init(PARAMS)
    for x in X[:3]:
        state = step(state, x)
    assert np.isfinite(state.weights).all()


def test_in_a_chain_and_under_inject_hyperparams():
    optimizer = optax.inject_hyperparams(
        lambda rate, k, num_rows: optax.chain(surgery.every(k, surgery.mgda(), num_rows), optax.sgd(rate)),
        static_args=("k", "num_rows"),
    )(rate=0.1, k=2, num_rows=3)

    @quick.jit
    def step(params, state):
        _, jacobian = surgery.value_and_grads(loss, "on_demand")(params, X[0])
        updates, state = optimizer.update(jacobian, state, params)
        return optax.apply_updates(params, updates), state

    params, state = step(PARAMS, optimizer.init(PARAMS))
    params, _ = step(params, state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
