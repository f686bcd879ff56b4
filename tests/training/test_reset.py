import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax.training import reset


@pytest.mark.parametrize("jit", [False, True])
def test_from_the_reset_on_it_equals_a_fresh_optimizer(jit):
    params = jnp.zeros(4)
    gradients = jax.random.normal(jax.random.key(0), (6, 4))
    adam = optax.scale_by_adam()
    restarting = reset.reset_at(adam, 3)
    update = jax.jit(restarting.update) if jit else restarting.update
    state, plain_state, fresh_state = restarting.init(params), adam.init(params), adam.init(params)
    for k, gradient in enumerate(gradients):
        result, state = update(gradient, state, params)
        plain, plain_state = adam.update(gradient, plain_state, params)
        if k < 3:
            np.testing.assert_allclose(result, plain, rtol=1e-6)
        else:
            fresh, fresh_state = adam.update(gradient, fresh_state, params)
            np.testing.assert_allclose(result, fresh, rtol=1e-6)
            assert np.all(np.abs(result - plain) > 1e-4)
