"""Blockwise inner products against one big matrix product."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.analysis import gram

PARAMS = {"a": {"kernel": jnp.arange(12.0).reshape(3, 4) / 10}, "bias": jnp.array([0.1, -0.2, 0.3, 0.0])}
SIZE = 16 * 4  # bytes


def loss(params, sample):
    return jnp.sum(jnp.tanh(sample["x"] @ params["a"]["kernel"] + params["bias"]) ** 2 * sample["weight"])


gradients_of = jax.vmap(jax.grad(loss), in_axes=(None, 0))


def samples(count):
    rng = np.random.default_rng(count)
    return {"x": rng.normal(size=(count, 3)).astype(np.float32), "weight": rng.normal(size=count).astype(np.float32)}


def plain(params, batch):
    """Flattens all per-sample gradients, one by one, and takes all their products at once."""
    rows = []
    for i in range(len(batch["weight"])):
        gradient = jax.grad(loss)(params, jax.tree.map(lambda leaf: leaf[i], batch))  # noqa: B023
        rows.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]).astype(np.float64))
    return np.stack(rows) @ np.stack(rows).T


@pytest.mark.parametrize("gradients_in_memory", [1, 2, 3, 24, 10000])
@pytest.mark.parametrize("count", [2, 5, 19])
def test_is_the_product_of_all_gradients(gradients_in_memory, count):
    batch = samples(count)
    result = gram.make_gram(gradients_of, memory=gradients_in_memory * SIZE)(PARAMS, batch)
    assert result.shape == (count, count) and result.dtype == np.float32
    np.testing.assert_allclose(result, plain(PARAMS, batch), rtol=1e-5, atol=1e-5)


def test_other_numbers_of_samples_are_no_other_program():
    @chex.assert_max_traces(n=1)
    def counted(params, batch):
        return gradients_of(params, batch)

    function = gram.make_gram(counted)
    for count in (3, 8, 20):
        function(PARAMS, samples(count))


@pytest.mark.parametrize(("gradients_in_memory", "most"), [(2, 2), (5, 5), (40, 40)])
def test_no_more_gradients_are_alive_than_asked_for(gradients_in_memory, most):
    """Counts the bytes of the gradients that are alive when the next ones are computed."""
    batch, alive = samples(60), []
    before = sum(leaf.nbytes for leaf in jax.live_arrays())

    def counting(params, chunk):
        def note():
            alive.append(sum(leaf.nbytes for leaf in jax.live_arrays()) - before)

        jax.debug.callback(note)
        return gradients_of(params, chunk)

    gram.make_gram(counting, memory=gradients_in_memory * SIZE)(PARAMS, batch)
    jax.effects_barrier()
    inputs = 8 * 4 * 4  # of one chunk
    assert max(alive) <= (most * SIZE + inputs)
    assert max(alive) >= SIZE  # it did count
