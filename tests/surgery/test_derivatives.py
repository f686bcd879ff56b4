"""Differentiating through an update, as meta-learning does, against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import surgery
from tests.surgery import reference

FACTORIES = {
    "deep_all": surgery.deep_all,
    "sum": surgery.sum,
    "agr_sum": surgery.agr_sum,
    "agr_sum_abstain": lambda: surgery.agr_sum("abstain"),
    "agr_rand": surgery.agr_rand,
    "agr_rand_conflict": lambda: surgery.agr_rand(zeros="conflict"),
    "pcgrad": surgery.pcgrad,
    "and_mask": lambda: surgery.and_mask(0.3),
    "grad_vac": lambda: surgery.grad_vac(num_rows=3),
    "grad_drop": surgery.grad_drop,
    "gga_l": surgery.gga_l,
    "median": surgery.median,
    "group_dro": lambda: surgery.group_dro(num_rows=3),
}
TWO_PASS = ["deep_all", "sum", "pcgrad", "group_dro"]


def check_derivative(function, at):
    """Compares the gradient of a function of an array along random directions with central differences."""
    gradient = jax.jit(jax.grad(function))(at)
    assert np.all(np.isfinite(gradient))
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=np.shape(at))
        step = 1e-6 * direction
        difference = (function(at + step) - function(at - step)) / 2e-6
        np.testing.assert_allclose(np.vdot(gradient, direction), difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rows", ["ordinary", "one zero row", "all zero", "long"])
@pytest.mark.parametrize("name", FACTORIES)
def test_stacked(name, rows):
    with reference.enable_x64(True):
        stacked = np.random.default_rng(0).normal(size=(3, 33_000 if rows == "long" else 7))
        scale = np.ones((3, 1))
        if rows == "one zero row":
            stacked[1] = 0
        elif rows == "all zero":
            stacked[:] = 0
        towards = np.linspace(-1, 2, stacked.shape[1])
        combiner = FACTORIES[name]()
        state = combiner.init(np.zeros(1))

        def along(scale):  # scales each row, so that zeros stay zeros
            gradient, _ = combiner.update(stacked * scale, state, losses=np.ones(3))
            return jnp.vdot(gradient, towards)

        check_derivative(along, scale)


@pytest.mark.parametrize("zero_row", [False, True])
@pytest.mark.parametrize("name", TWO_PASS)
def test_two_pass(name, zero_row):
    with reference.enable_x64(True):
        rng = np.random.default_rng(1)
        x, params = rng.normal(size=(3, 4, 5)), rng.normal(size=5)
        if zero_row:
            x[2] = 0
        combiner = FACTORIES[name]()

        def loss(params, x):
            return jnp.mean(jnp.tanh(x @ params) ** 2)

        def after_a_step(params):
            losses, jacobian = surgery.value_and_grads(loss, "two_pass")(params, x)
            gradient, _ = combiner.update(jacobian, combiner.init(params), params, losses=losses)
            return jnp.mean((params - 0.1 * gradient) ** 2)

        check_derivative(after_a_step, params)


@pytest.mark.parametrize("name", ["agr_sum", "agr_rand", "deep_all", "sum"])
def test_through_accumulated_gradients_it_is_an_error(name):
    combiner = FACTORIES[name]()

    def by_hand(scale):
        accumulated = surgery.accumulate(-scale * jnp.ones(3), surgery.accumulate(scale * jnp.ones(3)))
        return jnp.sum(combiner.update(accumulated, combiner.init(None))[0])

    def in_one(params):
        called = surgery.value_and_grads(lambda params, x: jnp.sum(params**2 * x), "accumulated")
        _, accumulated = called(params, jnp.ones((2, 3)))
        return jnp.sum(combiner.update(accumulated, combiner.init(None))[0])

    for function, at in ((by_hand, 1.0), (in_one, jnp.ones(3))):
        for differentiate in (jax.grad, lambda f: jax.jit(jax.grad(f))):
            with pytest.raises(ValueError, match="takes accumulated gradients cannot be differentiated"):
                differentiate(function)(at)
