"""The rules on the Gramian, against references in NumPy and SciPy that use other solvers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import optimize

from dg_jax import surgery
from tests import quick


def convex(objective, n):
    """The minimum over convex combinations, by SLSQP from several starts."""
    only = {"type": "eq", "fun": lambda w: w.sum() - 1}
    starts = [np.full(n, 1 / n), *(0.9 * np.eye(n) + 0.1 / n)]
    options = {"ftol": 1e-15, "maxiter": 1000}
    found = [
        optimize.minimize(objective, start, bounds=[(0, 1)] * n, constraints=only, method="SLSQP", options=options)
        for start in starts
    ]
    return min(found, key=lambda one: one.fun).x


def mgda(rows):
    gramian = rows @ rows.T
    return convex(lambda w: w @ gramian @ w, len(rows)) @ rows


def projected(rows, vector):
    """The nearest direction that conflicts with no row, by the dual problem."""
    return vector + rows.T @ optimize.nnls(rows.T, -vector)[0]


def upgrad(rows):
    return np.mean([projected(rows, row) for row in rows], axis=0)


def dualproj(rows):
    return projected(rows, rows.mean(axis=0))


def cagrad(rows, c=0.5):
    mean, gramian = rows.mean(axis=0), rows @ rows.T
    radius = c * np.linalg.norm(mean)
    w = convex(lambda w: w @ rows @ mean + radius * np.sqrt(w @ gramian @ w + 1e-30), len(rows))
    return mean + radius * (w @ rows) / np.linalg.norm(w @ rows)


def imtl_g(rows):
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    # Equal projections: the paper's linear system; the first weight follows from the others.
    if len(rows) == 1:
        return rows[0]
    differences, of_units = rows[0] - rows[1:], units[0] - units[1:]
    others = rows[0] @ of_units.T @ np.linalg.inv(differences @ of_units.T)
    return np.concatenate([[1 - others.sum()], others]) @ rows


def conflict_free(rows):
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    direction = np.linalg.pinv(units) @ np.ones(len(rows))
    direction /= np.linalg.norm(direction)
    return (rows @ direction).sum() * direction


def aligned_mtl(rows):
    _, lengths, right = np.linalg.svd(rows, full_matrices=False)
    left = rows @ right.T / lengths
    return lengths.min() * (left.mean(axis=0) @ right)


def fair_grad(rows, alpha=0.5):
    gramian = rows @ rows.T
    start = -0.5 * np.log(np.diag(gramian))
    exact = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15)
    found = optimize.least_squares(
        lambda t: np.exp(t / alpha) * (gramian @ np.exp(t)) - 1, start, max_nfev=5000, **exact
    )
    assert found.cost < 1e-12
    return np.exp(found.x) @ rows


RULES = {
    "mgda": (surgery.mgda(), mgda),
    "upgrad": (surgery.upgrad(), upgrad),
    "dualproj": (surgery.dualproj(), dualproj),
    "cagrad": (surgery.cagrad(), cagrad),
    "imtl_g": (surgery.imtl_g(), imtl_g),
    "conflict_free": (surgery.conflict_free(), conflict_free),
    "aligned_mtl": (surgery.aligned_mtl(), aligned_mtl),
    "fair_grad": (surgery.fair_grad(0.5), fair_grad),
    "nash_mtl": (surgery.nash_mtl(), lambda rows: fair_grad(rows, 1.0)),
}
DEGREES = dict.fromkeys(RULES, 1.0) | {"fair_grad": (1 - 0.5) / (1 + 0.5), "nash_mtl": 0.0}
ACCURACY = dict.fromkeys(RULES, 0.0002) | {"aligned_mtl": 2e-3}  # it uses the Gramian itself, and rows differ in length


WIDTH = 40


@quick.jit
def _updated(stacked):
    return {name: combiner.update(stacked, combiner.init(None)) for name, (combiner, _) in RULES.items()}


def updated(rows):
    """Updates of all rules on some rows, padded with zeros to one width, so that each N compiles one program."""
    n, m = np.shape(rows)
    filled = np.zeros((n, WIDTH), np.float32)
    filled[:, :m] = rows
    results = _updated(jnp.asarray(filled))
    return {name: (np.asarray(result)[:m], state) for name, (result, state) in results.items()}


def rows_of(n, m=WIDTH, seed=0, shared=0.0):
    """Gradients whose lengths differ by factors from 0.3 to 3; ``shared`` adds a common part."""
    rng = np.random.default_rng([n, seed])
    rows = rng.normal(size=(n, m)) + shared * rng.normal(size=m)
    return rows * 10.0 ** rng.uniform(-0.5, 0.5, (n, 1))


@pytest.mark.parametrize("shared", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_equals_its_statement(n, shared):
    for seed in range(4):
        rows = rows_of(n, seed=seed, shared=shared)
        for name, (found, _) in updated(rows).items():
            expected = RULES[name][1](rows)
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert error < ACCURACY[name], (name, seed, error)


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_gradients_of_any_scale(scale):
    rows = rows_of(3)
    one, other = updated(rows), updated(rows * scale)
    for name in RULES:
        expected = np.asarray(one[name][0], np.float64) * scale ** DEGREES[name]
        np.testing.assert_allclose(
            other[name][0], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name
        )
        for field in ("cosine_min", "descent", "conflicting"):
            one_field, other_field = (getattr(each[name][1], field) for each in (one, other))
            np.testing.assert_allclose(one_field, other_field, atol=1e-3, err_msg=f"{name}.{field}")


def test_rows_in_another_order_give_the_same():
    rows = rows_of(5).astype(np.float32)
    one, other = updated(rows), updated(rows[[3, 0, 4, 1, 2]])
    for name in RULES:
        largest = np.abs(one[name][0]).max()
        np.testing.assert_allclose(one[name][0], other[name][0], atol=1e-3 * largest, err_msg=name)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_rules_that_promise_it_conflict_with_no_gradient(n):
    for seed in range(6):
        rows = rows_of(n, m=12, seed=seed)
        for name, (result, state) in updated(rows).items():
            cosines = rows @ np.asarray(result) / np.linalg.norm(rows, axis=1) / np.linalg.norm(result)
            np.testing.assert_allclose(state.descent, cosines.min(), atol=2e-3, err_msg=name)
            if name in ("mgda", "upgrad", "dualproj", "conflict_free", "nash_mtl", "fair_grad"):
                assert cosines.min() > -1e-3, (name, seed)


def test_upgrad_of_two_is_half_of_pcgrad():
    for seed in range(5):
        rows = jnp.asarray(rows_of(2, seed=seed), jnp.float32)
        pcgrad = surgery.pcgrad()
        expected = quick.jit(pcgrad.update)(rows, pcgrad.init(None))[0] / 2
        np.testing.assert_allclose(updated(rows)["upgrad"][0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "rows",
    [
        [[0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[0.0, 0.0], [3.0, 4.0]],
        [[3.0, 4.0], [3.0, 4.0], [3.0, 4.0]],
        [[3.0, 4.0], [-3.0, -4.0]],
        [[3.0, 4.0], [-6.0, -8.0]],
        [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]],
        [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.2, 1.0]],
        [[1e-12, 0.0], [1e3, 1e3]],
    ],
    ids=str,
)
def test_rows_that_are_zero_equal_opposite_or_dependent_give_finite_numbers(rows):
    for name, (result, state) in updated(rows).items():
        assert np.isfinite(result).all() and all(np.isfinite(field) for field in state), name
        assert np.abs(result).max() <= 20 * max(1, np.abs(rows).max()), name


def test_what_the_docstrings_say_of_zero_and_single_gradients():
    zero = updated([[0.0, 0.0], [3.0, 4.0]])
    expected = {"mgda": [0, 0], "imtl_g": [3, 4], "conflict_free": [3, 4], "nash_mtl": [0.6, 0.8], "upgrad": [1.5, 2]}
    for name, result in expected.items():
        np.testing.assert_allclose(zero[name][0], result, atol=1e-4, err_msg=name)
    one = updated([[3.0, 4.0]])
    for name in RULES:
        factor = {"nash_mtl": 0.2, "cagrad": 1.5, "fair_grad": 25.0 ** (-1 / 3)}.get(name, 1.0)
        np.testing.assert_allclose(one[name][0], factor * np.array([3.0, 4.0]), rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_row_reaches_the_result(broken):
    for name, (result, _) in updated([[1.0, 2.0], [broken, 1.0], [0.5, -1.0]]).items():
        assert np.isnan(result).all(), name


@pytest.mark.parametrize("name", RULES)
def test_two_passes_give_the_same_as_stacked_gradients(name):
    def loss(params, x):
        return jnp.sum(jnp.tanh(x @ params["w"] + params["b"]) ** 2)

    params = {"w": jax.random.normal(jax.random.key(0), (4, 3)), "b": jnp.ones(3)}
    x = jax.random.normal(jax.random.key(1), (3, 5, 4))
    combiner = RULES[name][0]

    @quick.jit
    def in_both_forms(params, x):
        jacobians = [surgery.value_and_grads(loss, form=form)(params, x)[1] for form in ("stacked", "two_pass")]
        return [combiner.update(jacobian, combiner.init(params), params) for jacobian in jacobians]

    results = in_both_forms(params, x)
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3 * max(1, np.abs(one).max()))


@pytest.mark.parametrize("name", RULES)
def test_in_a_chain_in_a_scan_and_under_vmap(name):
    optimizer = optax.chain(RULES[name][0], optax.sgd(0.1))
    rows = jnp.asarray(rows_of(3, m=4), jnp.float32)

    def body(state, _):
        updates, state = optimizer.update(rows, state)
        return state, updates

    scanned = quick.jit(lambda: jax.lax.scan(body, optimizer.init(jnp.zeros(4)), length=2)[1])()
    np.testing.assert_allclose(scanned[0], scanned[1])
    stacks = jnp.stack([rows, 2 * rows])
    updates = quick.jit(jax.vmap(lambda rows: optimizer.update(rows, optimizer.init(jnp.zeros(4)))[0]))(stacks)
    np.testing.assert_allclose(updates[0], scanned[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(updates[1], 2.0 ** DEGREES[name] * updates[0], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", RULES)
def test_an_update_can_be_differentiated(name):
    combiner = RULES[name][0]
    rows = jnp.asarray(rows_of(3, m=6), jnp.float32)

    def length(rows):
        return jnp.sum(combiner.update(rows, combiner.init(None))[0] ** 2)

    value = quick.jit(length)
    derivative = quick.jit(jax.grad(length))(rows)
    along = jnp.asarray(np.random.default_rng(0).normal(size=rows.shape), jnp.float32)
    step = 1e-2
    difference = (value(rows + step * along) - value(rows - step * along)) / (2 * step)
    np.testing.assert_allclose(jnp.sum(derivative * along), difference, rtol=2e-2, atol=1e-2)


def test_a_preference_weighs_the_gradients():
    rows = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    for combiner in (
        surgery.upgrad([3.0, 1.0]),
        surgery.dualproj([3.0, 1.0]),
        surgery.aligned_mtl(preference=[3.0, 1.0]),
    ):
        np.testing.assert_allclose(combiner.update(rows, combiner.init(None))[0], [3, 1], atol=1e-5)
    mean = surgery.cagrad(0, jnp.array([3.0, 1.0]))
    np.testing.assert_allclose(mean.update(rows, mean.init(None))[0], [3, 1], atol=1e-5)


def test_the_scale_of_aligned_mtl():
    rows = np.diag([1.0, 2.0, 4.0]).astype(np.float32)
    for scale, squared in (("min", 1), ("median", 4), ("rmse", 7)):
        combiner = surgery.aligned_mtl(scale)
        result = combiner.update(jnp.asarray(rows), combiner.init(None))[0]
        np.testing.assert_allclose(result, np.full(3, np.sqrt(squared) / 3), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: surgery.cagrad(-0.1), "cagrad: c=-0.1; it must be a number of at least 0"),
        (lambda: surgery.cagrad(np.nan), "cagrad: c=nan"),
        (lambda: surgery.fair_grad(0), "fair_grad: alpha=0; it must be a number above 0"),
        (lambda: surgery.aligned_mtl("mean"), "aligned_mtl: scale='mean'; it must be 'min' or 'median' or 'rmse'"),
        (lambda: surgery.upgrad([1.0, -1.0]), r"upgrad: preference=\[1.0, -1.0\]; it must be N numbers of at least 0"),
        (lambda: surgery.dualproj(0.5), "dualproj: preference=0.5"),
        (lambda: surgery.cagrad(preference=["a"]), "cagrad: preference"),
    ],
)
def test_a_setting_out_of_range_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [surgery.upgrad, surgery.dualproj, surgery.aligned_mtl, surgery.cagrad])
def test_a_preference_of_another_length_is_named(make):
    combiner = make(preference=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"preference has shape \(2,\), but the gradients have 3 rows"):
        combiner.update(jnp.ones((3, 4)), combiner.init(None))


def test_traced_settings_pass():
    combiner = optax.inject_hyperparams(surgery.cagrad)(c=0.3)
    rows = jnp.asarray(rows_of(3), jnp.float32)
    result, _ = jax.jit(combiner.update)(rows, combiner.init(jnp.zeros(40)))
    plain = surgery.cagrad(0.3)
    np.testing.assert_allclose(result, plain.update(rows, plain.init(None))[0], rtol=1e-4, atol=1e-5)
    fair = optax.inject_hyperparams(surgery.fair_grad)(alpha=0.5)
    result, _ = jax.jit(fair.update)(rows, fair.init(jnp.zeros(40)))
    np.testing.assert_allclose(result, updated(rows)["fair_grad"][0], rtol=1e-4)


@pytest.mark.parametrize("name", RULES)
def test_the_state_keeps_its_dtypes_and_says_what_was_done(name):
    combiner = RULES[name][0]
    rows = rows_of(3)
    update = quick.jit(combiner.update)
    result, state = update(jnp.asarray(rows, jnp.bfloat16), combiner.init(jnp.zeros(40, jnp.bfloat16)))
    assert result.dtype == jnp.bfloat16 and {leaf.dtype for leaf in state} == {jnp.dtype("float32")}
    result, state = update(jnp.asarray(rows, jnp.float32), combiner.init(None))
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    pairs = (units @ units.T)[np.triu_indices(3, k=1)]
    np.testing.assert_allclose(state.row_norm, np.linalg.norm(rows, axis=1).mean(), rtol=1e-5)
    np.testing.assert_allclose(state.norm, np.linalg.norm(result), rtol=1e-3)
    np.testing.assert_allclose([state.cosine_mean, state.cosine_min], [pairs.mean(), pairs.min()], atol=1e-5)
    np.testing.assert_allclose(state.conflicting, (pairs < 0).mean())
    assert state.weight_min <= state.weight_max
