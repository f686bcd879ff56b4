import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax.surgery import group_dro


def stack(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(n, 4, 3)).astype(np.float32), "b": rng.normal(size=(n, 3)).astype(np.float32)}


def combine(weights, stacked):
    return {name: np.tensordot(weights, leaf.astype(np.float64), axes=1) for name, leaf in stacked.items()}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_several_updates_equal_algorithm_1(n, told, jit):
    combiner = group_dro(step_size=0.3, num_rows=n if told else None)
    update = jax.jit(combiner.update) if jit else combiner.update
    state, weights = combiner.init(stack(1)), np.full(n, 1 / n)
    assert state.weights.shape == ((n,) if told else ())
    for seed in range(4):
        stacked, losses = stack(n, seed), np.random.default_rng(seed).exponential(2.0, size=n)
        result, state = update(stacked, state, losses=losses.astype(np.float32))
        weights = weights * np.exp(0.3 * losses)
        weights /= weights.sum()
        np.testing.assert_allclose(state.weights, weights, rtol=1e-5)
        chex.assert_trees_all_close(result, combine(weights, stacked), rtol=1e-4, atol=1e-6)
    assert n == 1 or np.abs(weights - 1 / n).max() > 5e-3


def test_one_row_comes_back_as_it_is():
    combiner = group_dro()
    stacked = stack(1)
    result, state = combiner.update(stacked, combiner.init(None), losses=np.array([3.0], np.float32))
    chex.assert_trees_all_equal(result, jax.tree.map(lambda leaf: leaf[0], stacked))
    assert state.weights.tolist() == [1.0]


def test_huge_losses_do_not_overflow():
    combiner = group_dro(step_size=1000.0)
    stacked = stack(3)
    state = combiner.init(None)
    for _ in range(2):
        result, state = combiner.update(stacked, state, losses=np.array([1e30, 0.0, 1e30], np.float32))
        np.testing.assert_allclose(state.weights, [0.5, 0, 0.5])
        chex.assert_trees_all_close(result, combine(np.array([0.5, 0, 0.5]), stacked), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n", [1, 3])
def test_a_broken_loss_reaches_every_component(bad, n):
    combiner = group_dro()
    losses = np.ones(n, np.float32)
    losses[n - 1] = bad
    result, state = jax.jit(combiner.update)(stack(n), combiner.init(None), losses=losses)
    assert np.isnan(state.weights).all()
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(result))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_broken_gradient_reaches_the_result_even_with_weight_zero(bad):
    stacked = stack(3)
    stacked["b"][0, 1] = bad
    combiner = group_dro(step_size=1000.0)
    result, state = combiner.update(stacked, combiner.init(None), losses=np.array([0.0, 1.0, 1.0], np.float32))
    assert state.weights[0] == 0
    assert not np.isfinite(np.asarray(result["b"])[1])


def test_bfloat16_is_summed_in_float32():
    # Not under jit, where XLA may keep more digits than the program says.
    combiner, losses = group_dro(0.3), np.arange(5, dtype=np.float32)
    for seed in range(5):
        stacked = {name: leaf.astype(jnp.bfloat16) for name, leaf in stack(5, seed).items()}
        wide = {name: leaf.astype(np.float32) for name, leaf in stacked.items()}
        result, _ = combiner.update(stacked, combiner.init(None), losses=losses)
        expected, _ = combiner.update(wide, combiner.init(None), losses=losses)
        narrowed = {name: np.asarray(leaf).astype(jnp.bfloat16) for name, leaf in expected.items()}
        chex.assert_trees_all_equal(result, narrowed, strict=True)


def test_bfloat16_losses_do_not_coarsen_the_weights():
    combiner, losses = group_dro(0.01), np.array([1.0, 1.5, 2.0], np.float32)
    _, state = combiner.update(stack(3), combiner.init(None), losses=losses.astype(jnp.bfloat16))
    _, expected = combiner.update(stack(3), combiner.init(None), losses=losses)
    assert state.weights.dtype == jnp.float32
    np.testing.assert_array_equal(state.weights, expected.weights)


def test_missing_losses_are_an_error():
    combiner = group_dro()
    with pytest.raises(ValueError, match="pass losses="):
        combiner.update(stack(3), combiner.init(None))


@pytest.mark.parametrize("losses", [np.ones(2), np.ones(4), np.ones((3, 1)), 1.0])
def test_losses_of_another_shape_are_an_error(losses):
    combiner = group_dro()
    with pytest.raises(ValueError, match="the gradients have 3 rows"):
        combiner.update(stack(3), combiner.init(None), losses=losses)


def test_the_state_of_another_n_is_an_error():
    combiner = group_dro(num_rows=2)
    with pytest.raises(ValueError, match="weights for 2 rows, but the gradients have 3 rows"):
        combiner.update(stack(3), combiner.init(None), losses=np.ones(3))


@pytest.mark.parametrize("step_size", [0, 0.0, -0.01, float("nan")])
def test_step_size_must_be_above_zero(step_size):
    with pytest.raises(ValueError, match="group_dro: step_size="):
        group_dro(step_size)


@pytest.mark.parametrize("num_rows", [0, -1, 2.5, np.int64(0), jnp.array(3)])
def test_num_rows_must_be_a_positive_integer(num_rows):
    with pytest.raises(ValueError, match="group_dro: num_rows="):
        group_dro(num_rows=num_rows)


def test_runs_in_scan_when_told_n():
    combiner, stacked = group_dro(0.3, num_rows=3), stack(3)

    def step(state, losses):
        result, state = combiner.update(stacked, state, losses=losses)
        return state, result

    losses = np.array([[1.0, 2.0, 3.0], [0.0, 4.0, 0.0]], np.float32)
    state, results = jax.lax.scan(step, combiner.init(None), losses)
    weights = np.exp(0.3 * np.array([1.0, 6.0, 3.0]))
    weights /= weights.sum()
    np.testing.assert_allclose(state.weights, weights, rtol=1e-5)
    last = jax.tree.map(lambda leaf: np.asarray(leaf)[-1], results)
    chex.assert_trees_all_close(last, combine(weights, stacked), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("told", [False, True])
def test_works_under_inject_hyperparams(told):
    settings = {"num_rows": 3} if told else {}
    injected = optax.inject_hyperparams(group_dro, static_args=("num_rows",))(
        step_size=optax.piecewise_constant_schedule(0.3, {1: 2.0}), **settings
    )
    stacked, losses = stack(3), np.array([1.0, 2.0, 3.0], np.float32)
    params = jax.tree.map(lambda leaf: np.zeros_like(leaf[0]), stacked)
    state = jax.jit(injected.init)(params)
    for _ in range(2):
        _, state = jax.jit(injected.update)(stacked, state, params, losses=losses)
    weights = np.exp((0.3 + 0.6) * np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(state.inner_state.weights, weights / weights.sum(), rtol=1e-5)


def test_vmap_equals_one_by_one():
    combiner, losses = group_dro(0.3), np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], np.float32)
    stacks = [stack(3, seed) for seed in range(2)]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *stacks)
    state = combiner.init(None)

    @jax.jit
    @jax.vmap
    def together(stacked, losses):
        return combiner.update(stacked, state, losses=losses)[0]

    results = jax.device_get(together(batch, losses))
    for k in range(2):
        alone, _ = combiner.update(stacks[k], state, losses=losses[k])
        chosen = {name: leaf[k] for name, leaf in results.items()}
        chex.assert_trees_all_close(chosen, alone, rtol=1e-5, atol=1e-6)
