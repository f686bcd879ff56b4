"""Takes a few steps with a combiner in an optax chain; prints nothing if they go well.

It needs the library alone: CI runs it where nothing else is installed.
"""

import jax
import jax.numpy as jnp
import optax

from dg_jax import surgery


def loss(params, x):
    return jnp.sum((params["w"] - x) ** 2)


optimizer = optax.chain(surgery.agr_sum(), optax.add_decayed_weights(5e-5), optax.adam(1e-1))
params = {"w": jnp.ones(3)}
state = optimizer.init(params)


@jax.jit
def step(params, state):
    stacked = jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, jnp.eye(3))
    updates, state = optimizer.update(stacked, state, params)
    return optax.apply_updates(params, updates), state


for _ in range(3):
    params, state = step(params, state)
assert jnp.isfinite(params["w"]).all() and (params["w"] < 1).all(), params
