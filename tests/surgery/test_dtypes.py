"""float64 leaves are computed in float64, states keep their dtypes, and JAX's strict settings raise no error."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from tests.surgery import reference

FACTORIES = {
    "deep_all": surgery.deep_all,
    "sum": surgery.sum,
    "agr_sum": surgery.agr_sum,
    "agr_sum_conflict": lambda: surgery.agr_sum("conflict"),
    "agr_sum_abstain": lambda: surgery.agr_sum("abstain"),
    "agr_rand": surgery.agr_rand,
    "agr_rand_abstain": lambda: surgery.agr_rand(zeros="abstain"),
    "pcgrad": surgery.pcgrad,
    "and_mask": surgery.and_mask,
    "median": surgery.median,
    "group_dro": lambda: surgery.group_dro(num_rows=3),
}
LOSSES = np.array([1.0, 2.0, 0.5])


@pytest.fixture(params=FACTORIES)
def name(request):
    return request.param


def gradients(*dtypes, seed=0):
    rng = np.random.default_rng(seed)
    return {f"leaf{k}": jnp.asarray(rng.normal(size=(3, 4, k + 2)), dtype) for k, dtype in enumerate(dtypes)}


def params_of(stacked):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), stacked)


def dtypes_of(state):
    return [leaf.dtype for leaf in jax.tree.leaves(state)]


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    "dtypes", [("float32",), ("bfloat16", "float16"), ("float64",), ("float32", "float64")], ids=str
)
def test_states_keep_their_dtypes_in_a_scan(name, dtypes, x64):
    with reference.enable_x64(x64):
        stacked = gradients(*dtypes)
        for params in (params_of(stacked), None):
            combiner = FACTORIES[name]()
            state = combiner.init(params)
            wanted = jnp.float64 if x64 and "float64" in dtypes and params is not None else jnp.float32
            assert all(dtype == wanted for dtype in dtypes_of(state) if jnp.issubdtype(dtype, jnp.floating))

            def step(state, _, combiner=combiner, params=params):
                gradient, state = combiner.update(stacked, state, params, losses=jnp.asarray(LOSSES))
                return state, gradient

            after, results = jax.lax.scan(step, state, length=2)
            assert dtypes_of(after) == dtypes_of(state)
            assert {key: leaf.dtype for key, leaf in results.items()} == {k: leaf.dtype for k, leaf in stacked.items()}


def expected_in_float64(name, rows):
    """The result of a combiner without random draws on rows [3, n], in NumPy."""
    if name == "deep_all":
        return rows.mean(axis=0)
    if name == "sum":
        return rows.sum(axis=0)
    if name.startswith("agr_sum"):
        return reference.agr_sum(rows, name.removeprefix("agr_sum").removeprefix("_") or "agree")
    if name == "group_dro":
        weights = np.exp(0.01 * LOSSES)
        return weights @ rows / weights.sum()
    if name == "and_mask":
        mask = reference.agree(rows, "conflict")
        return mask * rows.mean(axis=0) / (1e-10 + mask.mean())
    if name == "median":
        return np.median(rows, axis=0)
    raise AssertionError(name)


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e100])
def test_float64_gradients_are_computed_in_float64(name, scale):
    with reference.enable_x64(True):
        rows = np.random.default_rng(1).normal(size=(3, 40_000)) * scale  # long enough for the fast forms of a CPU
        combiner = FACTORIES[name]()
        for state in (combiner.init(np.zeros(40_000)), combiner.init(None)):
            result, after = combiner.update(rows, state, losses=LOSSES)
            result = np.asarray(result)
            assert result.dtype == np.float64
            if name.startswith("agr_rand"):
                zeros = "abstain" if "abstain" in name else "agree"
                agrees = reference.agree(rows, zeros)
                np.testing.assert_allclose(result[agrees], rows.sum(axis=0)[agrees], rtol=1e-13)
                sigma = reference.sigma(rows, zeros)
                assert np.std(result[~agrees]) == pytest.approx(sigma, rel=0.05)
                if after.sigma.dtype == np.float64:
                    np.testing.assert_allclose(after.sigma, sigma, rtol=1e-12)
            elif name == "pcgrad":
                orders = jax.random.permutation(
                    jax.random.split(state.key)[1], jnp.tile(jnp.arange(3), (3, 1)), axis=1, independent=True
                )
                np.testing.assert_allclose(
                    result, reference.pcgrad(rows, np.asarray(orders)), rtol=1e-11, atol=1e-13 * scale
                )
            else:
                np.testing.assert_allclose(result, expected_in_float64(name, rows), rtol=1e-13, atol=1e-14 * scale)


def test_numpy_gradients_are_taken_with_and_without_64_bits(name):
    rows = {"a": np.random.default_rng(0).normal(size=(3, 5)), "b": np.ones((3, 2), np.float32)}
    for x64 in (False, True):
        with reference.enable_x64(x64):
            combiner = FACTORIES[name]()
            result, _ = combiner.update(rows, combiner.init(None), losses=LOSSES)
            assert result["a"].dtype == (np.float64 if x64 else np.float32) and result["b"].dtype == np.float32


SETTINGS = {
    "strict promotion": {"jax_numpy_dtype_promotion": "strict"},
    "rank promotion": {"jax_numpy_rank_promotion": "raise"},
    "debug_nans": {"jax_debug_nans": True},
    "debug_infs": {"jax_debug_infs": True},
}


@contextlib.contextmanager
def configured(settings):
    before = {key: getattr(jax.config, key) for key in settings}
    try:
        for key, value in settings.items():
            jax.config.update(key, value)
        yield
    finally:
        for key, value in before.items():
            jax.config.update(key, value)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_works_under_jaxs_strict_settings(name, setting, dtype, jit):
    stacked = {key: leaf.at[1].set(0) for key, leaf in gradients(dtype, dtype).items()}  # a zero row, too
    params, optimizer = params_of(stacked), optax.chain(FACTORIES[name](), optax.sgd(0.1))
    losses = jnp.asarray(LOSSES, jnp.float32)
    with configured(SETTINGS[setting]):
        state = optimizer.init(params)

        def step(jacobian, state):
            return optimizer.update(jacobian, state, params, losses=losses)

        updates, state = (jax.jit(step) if jit else step)(stacked, state)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(updates))
        (jax.jit(step) if jit else step)(jax.tree.map(lambda leaf: leaf[:, :0], stacked) | stacked, state)


@pytest.mark.parametrize("form", ["stacked", "accumulated", "two_pass"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_jacobians_are_made_under_jaxs_strict_settings(setting, form):
    def loss(params, x):
        return jnp.sum(jnp.square(x @ params["w"]))

    with configured(SETTINGS[setting]):
        params, x = {"w": jnp.ones((3, 2))}, jnp.arange(24.0).reshape(2, 4, 3)
        for called in (surgery.value_and_grads(loss, form), surgery.value_and_jacobian([loss, loss], form)):
            for function in (called, jax.jit(called)):
                losses, _ = function(params, x)
                assert losses.shape == (2,)
