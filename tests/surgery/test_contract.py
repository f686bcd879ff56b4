"""Checks what every combiner promises, for all formulas."""

import collections
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from tests import quick

COMBINERS = {
    "deep_all": surgery.deep_all(),
    "sum": surgery.sum(),
    "agr_sum": surgery.agr_sum(),
    "agr_sum_conflict": surgery.agr_sum("conflict"),
    "agr_sum_abstain": surgery.agr_sum("abstain"),
    "agr_rand": surgery.agr_rand(),
    "agr_rand_conflict": surgery.agr_rand(zeros="conflict"),
    "agr_rand_abstain": surgery.agr_rand(zeros="abstain"),
    "pcgrad": surgery.pcgrad(),
    "grad_drop": surgery.grad_drop(),
    "gga_l": surgery.gga_l(),
    "and_mask": surgery.and_mask(rescale=False),  # with rescaling, one row does not come back unchanged
}
Pair = collections.namedtuple("Pair", "first second")


@pytest.fixture(params=COMBINERS, ids=str)
def name(request):
    return request.param


@pytest.fixture
def combiner(name):
    return COMBINERS[name]


@quick.jit
def updated(stacked, states):
    """Updates of all combiners on a stack: one program for each N instead of one for each combiner."""
    return {name: combiner.update(stacked, states[name]) for name, combiner in COMBINERS.items()}


def initial():
    return {name: combiner.init(None) for name, combiner in COMBINERS.items()}


def random_stack(n=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(n, 4, 3)).astype(np.float32), "b": rng.normal(size=(n, 3)).astype(np.float32)}


def plain(stacked):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape[1:], leaf.dtype), stacked)


def test_result_has_shapes_and_dtypes_of_the_parameters(combiner):
    stacked = random_stack() | {"half": np.ones((3, 2), jnp.bfloat16), "scalar": np.ones(3, np.float32)}
    result, _ = jax.eval_shape(combiner.update, stacked, combiner.init(plain(stacked)))
    chex.assert_trees_all_equal_shapes_and_dtypes(result, plain(stacked))


def test_one_row_comes_back_as_it_is(name):
    stacked = random_stack(n=1)
    stacked["w"][0, 1] = 0
    states = initial()
    for _ in range(2):
        results = updated(stacked, states)
        chex.assert_trees_all_equal(results[name][0], jax.tree.map(lambda leaf: leaf[0], stacked))
        states = {key: state for key, (_, state) in results.items()}


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_broken_gradient_reaches_the_result(name, n):
    states = initial()
    for bad, others in itertools.product([np.nan, np.inf, -np.inf], [-1.0, 0.0, 1.0]):
        stacked = {"w": np.full((n, 4, 3), others, np.float32), "b": np.ones((n, 3), np.float32)}
        stacked["w"][n - 1, 2, 1] = bad
        result, _ = updated(stacked, states)[name]
        assert not np.isfinite(np.asarray(result["w"])[2, 1]), (bad, others)


def test_opposite_infinities_reach_the_result(name):
    stacked = {"w": np.ones((2, 4, 3), np.float32), "b": np.ones((2, 3), np.float32)}
    stacked["w"][:, 2, 1] = np.inf, -np.inf
    result, _ = updated(stacked, initial())[name]
    assert not np.isfinite(np.asarray(result["w"])[2, 1])


def test_works_as_the_first_link_of_a_chain(combiner):
    stacked = random_stack()
    params = plain(stacked)
    optimizer = optax.chain(combiner, optax.add_decayed_weights(5e-5), optax.adam(1e-5))
    state = optimizer.init(params)

    @quick.jit
    @chex.assert_max_traces(n=1)
    def step(params, state):
        updates, state = optimizer.update(stacked, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(3):
        params, state = step(params, state)
    chex.assert_tree_all_finite(params)
    assert all(np.any(leaf != 0) for leaf in jax.device_get(jax.tree.leaves(params)))


def test_works_as_the_aggregator_of_process(combiner, name):
    stacked = random_stack()
    params = plain(stacked)
    pytest.importorskip("optax", minversion="0.2.7")
    from optax.experimental import aggregating

    optimizer = aggregating.process(optax.identity(), combiner, optax.sgd(1.0))
    arguments = stacked, optimizer.init(params), params
    updates, _ = optimizer.update(*arguments)
    expected, _ = updated(stacked, initial())[name]
    chex.assert_trees_all_close(updates, jax.tree.map(np.negative, expected), rtol=1e-5, atol=1e-6)
    jax.eval_shape(optimizer.update, *arguments)  # tracing is enough: under jit it is the same program


def test_vmap_and_scan_equal_one_by_one(combiner, name):
    """Three stacks side by side, each combined twice, the second time with the state of the first."""
    stacks = [random_stack(seed=seed) for seed in range(3)]

    @quick.jit
    @jax.vmap
    def together(stacked):
        def step(state, _):
            result, state = combiner.update(stacked, state)
            return state, result

        return jax.lax.scan(step, combiner.init(plain(stacked)), length=2)[1]

    results = jax.device_get(together(jax.tree.map(lambda *leaves: np.stack(leaves), *stacks)))
    for k, stacked in enumerate(stacks):
        states = initial()
        for time in range(2):
            alone, states[name] = updated(stacked, states)[name]
            chosen = {name: leaf[k, time] for name, leaf in results.items()}
            chex.assert_trees_all_close(chosen, alone, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_summed_in_float32(combiner):
    # Not under jit, where XLA may keep more digits than the program says.
    state = combiner.init(None)
    for seed in range(5):
        stacked = {name: np.abs(leaf).astype(jnp.bfloat16) for name, leaf in random_stack(n=3, seed=seed).items()}
        wide = {name: leaf.astype(np.float32) for name, leaf in stacked.items()}
        result, _ = combiner.update(jax.tree.map(jnp.asarray, stacked), state)
        expected, _ = combiner.update(wide, state)
        narrowed = {name: np.asarray(leaf).astype(jnp.bfloat16) for name, leaf in expected.items()}
        chex.assert_trees_all_equal(result, narrowed, strict=True)


def nnx_state():
    nnx = pytest.importorskip("flax.nnx")
    return lambda w, b: nnx.State({"w": nnx.Param(w), "b": nnx.Param(b)})


def equinox_module():
    eqx = pytest.importorskip("equinox")

    class Layer(eqx.Module):
        weight: jax.Array
        bias: jax.Array

    return Layer


TREES = {
    "tuple": lambda: lambda w, b: (w, [b]),
    "namedtuple": lambda: Pair,
    "nnx": nnx_state,
    "equinox": equinox_module,
}


@pytest.mark.parametrize("kind", TREES)
def test_any_pytree_goes(combiner, kind):
    make = TREES[kind]()
    stacked = jax.tree.map(jnp.asarray, random_stack())
    tree, params = make(stacked["w"], stacked["b"]), plain(stacked)
    params = make(params["w"], params["b"])
    result, _ = jax.eval_shape(combiner.update, tree, combiner.init(params), params)
    assert jax.tree.structure(result) == jax.tree.structure(tree)
    assert [leaf.shape for leaf in jax.tree.leaves(result)] == [leaf.shape[1:] for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("name", ["deep_all", "agr_sum", "agr_rand", "pcgrad"])
def test_works_under_inject_hyperparams(name):
    stacked = random_stack()
    injected = optax.inject_hyperparams(getattr(surgery, name))()
    arguments = stacked, injected.init(plain(stacked)), plain(stacked)
    result, _ = injected.update(*arguments)
    expected, _ = updated(stacked, initial())[name]
    chex.assert_trees_all_close(result, expected, rtol=1e-5, atol=1e-6)
    jax.eval_shape(injected.update, *arguments)  # settings can be traced: none must be a Python number


def test_state_is_scalars(combiner):
    state = combiner.init({"w": np.ones((4, 3), np.float32)})
    assert isinstance(state, tuple) and hasattr(state, "_fields")
    assert all(np.shape(leaf) == () for leaf in jax.tree.leaves(state))


def test_extra_arguments_are_let_through_and_without_jit_it_is_the_same(combiner, name):
    stacked = random_stack()
    result, _ = combiner.update(stacked, combiner.init(None), None, value=1.0, losses=np.ones(3, np.float32))
    expected, _ = updated(stacked, initial())[name]
    chex.assert_trees_all_equal_shapes_and_dtypes(result, plain(stacked))
    chex.assert_trees_all_close(result, expected, rtol=1e-5, atol=1e-6)
