"""What every combiner promises, whatever its formula."""

import collections
import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from optax.experimental import aggregating

from dg_jax import surgery

COMBINERS = {
    "deep_all": surgery.deep_all,
    "agr_sum": surgery.agr_sum,
    "agr_sum_strict": lambda: surgery.agr_sum(zeros_agree=False),
    "agr_rand": surgery.agr_rand,
    "agr_rand_strict": lambda: surgery.agr_rand(zeros_agree=False),
    "pcgrad": surgery.pcgrad,
}
Pair = collections.namedtuple("Pair", "first second")


@pytest.fixture(params=COMBINERS, ids=str)
def combiner(request):
    return COMBINERS[request.param]()


def random_stack(n=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(n, 4, 3)).astype(np.float32), "b": rng.normal(size=(n, 3)).astype(np.float32)}


def plain(stacked):
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), stacked)


def test_result_has_shapes_and_dtypes_of_the_parameters(combiner):
    stacked = random_stack() | {"half": jnp.ones((3, 2), jnp.bfloat16), "scalar": jnp.ones(3)}
    result, _ = combiner.update(stacked, combiner.init(plain(stacked)))
    chex.assert_trees_all_equal_shapes_and_dtypes(result, plain(stacked))


def test_one_row_comes_back_as_it_is(combiner):
    stacked = {"w": np.array([[1.5, -2.5, 0.0]], np.float32)}
    for _ in range(2):
        result, _ = combiner.update(stacked, combiner.init(plain(stacked)))
        np.testing.assert_array_equal(result["w"], stacked["w"][0])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_broken_gradient_reaches_the_result(combiner, n):
    update = jax.jit(combiner.update)
    for bad, others in itertools.product([np.nan, np.inf, -np.inf], [-1.0, 0.0, 1.0]):
        stacked = {"w": np.full((n, 4), others, np.float32), "b": np.ones((n, 2), np.float32)}
        stacked["w"][n - 1, 2] = bad
        result, _ = update(stacked, combiner.init(plain(stacked)))
        assert not np.isfinite(result["w"][2]), (bad, others)


def test_opposite_infinities_reach_the_result(combiner):
    stacked = np.array([[np.inf, 1.0], [-np.inf, 1.0]], np.float32)
    result, _ = combiner.update(stacked, combiner.init(None))
    assert not np.isfinite(result[0])


def test_different_row_counts_name_the_leaf(combiner):
    stacked = {"layer": {"w": jnp.ones((3, 2)), "b": jnp.ones((2, 2))}}
    with pytest.raises(ValueError, match=r"\['layer'\]\['w'\] has 3 rows.*\['layer'\]\['b'\] has 2"):
        combiner.update(stacked, combiner.init(None))


def test_a_leaf_without_rows_is_named(combiner):
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(\)"):
        combiner.update({"a": jnp.ones((3, 2)), "b": jnp.ones(())}, combiner.init(None))
    with pytest.raises(ValueError, match=r"\['a'\] has shape \(0, 2\)"):
        combiner.update({"a": jnp.ones((0, 2))}, combiner.init(None))


def test_an_empty_tree_is_an_error(combiner):
    with pytest.raises(ValueError, match="no leaves"):
        combiner.update({}, combiner.init({}))


def test_works_as_the_first_link_of_a_chain(combiner):
    stacked = random_stack()
    params = plain(stacked)
    optimizer = optax.chain(combiner, optax.add_decayed_weights(5e-5), optax.adam(1e-5))
    state = optimizer.init(params)
    step = jax.jit(chex.assert_max_traces(optimizer.update, n=1))
    for _ in range(3):
        updates, state = step(stacked, state, params)
        params = optax.apply_updates(params, updates)
    chex.assert_tree_all_finite(params)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(params))


def test_works_as_the_aggregator_of_process(combiner):
    stacked = random_stack()
    params = plain(stacked)
    optimizer = aggregating.process(optax.identity(), combiner, optax.sgd(1.0))
    updates, _ = jax.jit(optimizer.update)(stacked, optimizer.init(params), params)
    expected, _ = jax.jit(combiner.update)(stacked, combiner.init(params))
    chex.assert_trees_all_close(updates, jax.tree.map(jnp.negative, expected))


def test_runs_in_scan(combiner):
    stacked = random_stack()

    def step(state, _):
        result, state = combiner.update(stacked, state)
        return state, result

    _, results = jax.lax.scan(step, combiner.init(plain(stacked)), length=3)
    assert results["w"].shape == (3, 4, 3)


def test_vmap_equals_one_by_one(combiner):
    stacks = [random_stack(seed=seed) for seed in range(3)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacks)
    state = combiner.init(None)
    together, _ = jax.vmap(lambda stacked: combiner.update(stacked, state))(batch)
    for k, stacked in enumerate(stacks):
        alone, _ = combiner.update(stacked, state)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[k], together), alone, rtol=1e-5, atol=1e-6)  # noqa: B023


def test_bfloat16_is_summed_in_float32(combiner):
    stacked = {name: jnp.abs(jnp.asarray(leaf, jnp.bfloat16)) for name, leaf in random_stack(n=8).items()}
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), stacked)
    result, _ = combiner.update(stacked, combiner.init(None))
    expected, _ = combiner.update(wide, combiner.init(None))
    chex.assert_trees_all_equal(result, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), expected))


@pytest.mark.parametrize("kind", ["tuple", "namedtuple", "nnx", "equinox"])
def test_any_pytree_goes(combiner, kind):
    stacked = random_stack()
    trees = {
        "tuple": lambda w, b: (w, [b]),
        "namedtuple": lambda w, b: Pair(w, b),
        "nnx": lambda w, b: nnx.State({"w": nnx.Param(w), "b": nnx.Param(b)}),
        "equinox": lambda w, b: eqx.tree_at(
            lambda m: (m.weight, m.bias), eqx.nn.Linear(3, 4, key=jax.random.key(0)), (w, b)
        ),
    }
    tree = trees[kind](jnp.asarray(stacked["w"]), jnp.asarray(stacked["b"]))
    result, _ = jax.jit(combiner.update)(tree, combiner.init(plain(tree)))
    assert jax.tree.structure(result) == jax.tree.structure(tree)
    assert [leaf.shape for leaf in jax.tree.leaves(result)] == [leaf.shape[1:] for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("factory", [surgery.deep_all, surgery.agr_sum, surgery.agr_rand, surgery.pcgrad])
def test_works_under_inject_hyperparams(factory):
    stacked = random_stack()
    injected = optax.inject_hyperparams(factory)()
    result, _ = jax.jit(injected.update)(stacked, injected.init(plain(stacked)), plain(stacked))
    expected, _ = factory().update(stacked, factory().init(None))
    chex.assert_trees_all_close(result, expected, rtol=1e-5, atol=1e-6)


def test_state_is_scalars(combiner):
    state = combiner.init({"w": jnp.ones((4, 3))})
    assert isinstance(state, tuple) and hasattr(state, "_fields")
    assert all(jnp.shape(leaf) == () for leaf in jax.tree.leaves(state))


def test_extra_arguments_are_let_through(combiner):
    stacked = random_stack()
    combiner.update(stacked, combiner.init(None), None, value=1.0, losses=jnp.ones(3))
