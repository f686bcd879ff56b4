"""Losses and Jacobians: the same in all forms, in less memory where the form promises it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery
from dg_jax.surgery import _value_and_grads
from tests import programs, quick
from tests.surgery import reference

# XLA orders the work for the least memory, as training does on a CPU.
IN_LITTLE_MEMORY = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
FORMS = ["stacked", "accumulated", "two_pass"]
xla_of_today = pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="depends on how XLA compiles since JAX 0.10")


def loss(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2)


def world(n, seed=0):
    rng = np.random.default_rng(seed)
    params = {"w": rng.normal(size=(4, 5)).astype(np.float32), "v": rng.normal(size=5).astype(np.float32)}
    return params, rng.normal(size=(n, 6, 4)).astype(np.float32), rng.normal(size=(n, 6)).astype(np.float32)


def rows_one_by_one(params, x, y):
    """Losses and gradients from a plain loop."""
    values, gradients = zip(*[jax.value_and_grad(loss)(params, *row) for row in zip(x, y, strict=True)], strict=True)
    return jnp.stack(values), jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)


def gramian_of(stacked):
    flat = np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in jax.tree.leaves(stacked)], 1)
    return flat @ flat.T


def check_form(form, jacobian, expected):
    """Compares a Jacobian in any form with stacked gradients."""
    compare = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-6)
    if form == "stacked":
        compare(jacobian, expected)
    elif form == "accumulated":
        for fact in ("total", "smallest", "largest"):
            operation = {"total": np.sum, "smallest": np.min, "largest": np.max}[fact]
            actual = {name: getattr(node, fact) for name, node in jacobian.items()}
            compare(actual, jax.tree.map(lambda leaf: operation(leaf, axis=0), expected))  # noqa: B023
        assert all(node.num_rows == len(expected["w"]) for node in jacobian.values())
    else:
        np.testing.assert_allclose(jacobian.gramian, gramian_of(expected), rtol=1e-4)
        weights = np.linspace(-1, 2, len(expected["w"])).astype(np.float32)
        (pulled,) = jacobian.pull(jnp.asarray(weights))
        compare(pulled, jax.tree.map(lambda leaf: np.tensordot(weights, leaf, 1), expected))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_that_of_the_gradients_one_by_one(form, n, jit):
    params, *data = world(n)
    called = surgery.value_and_grads(loss, form)
    losses, jacobian = (quick.jit(called) if jit else called)(params, *data)
    expected_losses, expected = rows_one_by_one(params, *data)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    check_form(form, jacobian, expected)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_losses_that_differ(form, as_list, jit):
    params, x, y = world(3)

    def one(params, x, y):
        return loss(params, x, y)

    def two(params, x, y):
        return jnp.sum(params["w"] ** 2) + jnp.sum(x)

    def three(params, x, y):
        return jnp.max(params["v"])

    functions = [one, two, three]
    losses_fn = functions if as_list else lambda *a: jnp.stack([function(*a) for function in functions])
    called = surgery.value_and_jacobian(losses_fn, form)
    losses, jacobian = (quick.jit(called) if jit else called)(params, x[0], y[0])
    np.testing.assert_allclose(losses, [function(params, x[0], y[0]) for function in functions], rtol=1e-5)
    gradients = [jax.grad(function)(params, x[0], y[0]) for function in functions]
    check_form(form, jacobian, jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients))


@pytest.mark.parametrize("form", FORMS)
def test_aux_comes_along_with_a_leading_axis(form):
    params, x, y = world(3)

    def with_aux(params, x, y):
        return loss(params, x, y), {"mean": jnp.mean(x, axis=0)}

    (losses, aux), jacobian = quick.jit(surgery.value_and_grads(with_aux, form, has_aux=True))(params, x, y)
    expected_losses, expected = rows_one_by_one(params, x, y)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(aux["mean"], x.mean(axis=1), rtol=1e-5, atol=1e-6)
    check_form(form, jacobian, expected)

    both = [with_aux, lambda params, x, y: (2 * loss(params, x, y), {"mean": jnp.mean(y)})]
    (losses, (first, second)), _ = surgery.value_and_jacobian(both, form, has_aux=True)(params, x[0], y[0])
    np.testing.assert_allclose(losses, [expected_losses[0], 2 * expected_losses[0]], rtol=1e-5)
    assert first["mean"].shape == (4,) and second["mean"].shape == ()


def test_keys_among_the_stacked_draw_the_same_in_both_passes():
    def noisy(params, key):
        return jnp.vdot(params, jax.random.normal(key, (3,)))

    keys = jax.random.split(jax.random.key(0), 2)
    rows = np.stack([jax.random.normal(key, (3,)) for key in keys])
    _, jacobian = surgery.value_and_grads(noisy, "two_pass")(jnp.ones(3), keys)
    np.testing.assert_allclose(jacobian.gramian, rows @ rows.T, rtol=1e-5)
    np.testing.assert_allclose(jacobian.pull(jnp.array([1.0, 2.0]))[0], rows[0] + 2 * rows[1], rtol=1e-5)


def test_wrong_arguments_are_errors_that_name_them():
    for function in (surgery.value_and_grads, surgery.value_and_jacobian):
        with pytest.raises(ValueError, match="form='no': give 'stacked', 'accumulated', 'two_pass'"):
            function(loss, "no")
    params, x, y = world(3)
    for form in FORMS:
        called = surgery.value_and_grads(loss, form)
        with pytest.raises(ValueError, match=r"argument \[1\] has shape \(2, 6\), the first has 3 rows"):
            jax.jit(called)(params, x, y[:2])
        with pytest.raises(ValueError, match="nothing is stacked"):
            called(params)
        with pytest.raises(ValueError, match=r"argument \[0\] has shape \(0, 6, 4\).*at least 1"):
            called(params, x[:0], y[:0])
        for wrong, what in (
            (loss, r"float32 \(\)"),
            (lambda params, x, y: (jnp.sum(x), jnp.sum(y)), "a tuple"),
            (lambda params, x, y: 1.0, "a float"),
            (lambda params, x, y: jnp.arange(3), r"int32 \(3,\)"),
            (lambda params, x, y: 1j * jnp.ones(3), r"complex64 \(3,\)"),
            (lambda params, x, y: jnp.ones((2, 2)), r"float32 \(2, 2\)"),
        ):
            with pytest.raises(ValueError, match=f"the function returned {what}; return one floating-point vector"):
                surgery.value_and_jacobian(wrong, form)(params, x[0], y[0])
        with pytest.raises(ValueError, match=r"a function of the list returned shape \(1,\)"):
            surgery.value_and_jacobian([loss, lambda params, x, y: jnp.ones(1)], form)(params, x[0], y[0])
        with pytest.raises(ValueError, match="returned an empty vector"):
            surgery.value_and_jacobian(lambda params: jnp.zeros(0), form)(params)
    with pytest.raises(ValueError, match="the parameters have no leaves"):
        surgery.value_and_grads(lambda params, x: jnp.sum(x), "two_pass")({}, x)
    with pytest.raises(ValueError, match="the list of losses is empty"):
        surgery.value_and_jacobian([])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("x64", [False, True])
def test_python_numbers_and_empty_leaves_among_the_parameters(x64, form):
    with reference.enable_x64(x64):
        params = {"a": np.zeros(0, np.float32), "s": 2.0}
        combiner = surgery.deep_all()
        for called, arguments in (
            (surgery.value_and_grads(lambda p, x: p["s"] * jnp.sum(x) + jnp.sum(p["a"]), form), (np.ones((2, 3)),)),
            (surgery.value_and_jacobian(lambda p: jnp.stack([3 * p["s"], 3 * p["s"]]), form), ()),
        ):
            losses, jacobian = called(params, *arguments)
            gradient, _ = combiner.update(jacobian, combiner.init(params), params)
            np.testing.assert_allclose(losses, [6, 6])
            np.testing.assert_allclose(gradient["s"], 3)


def products_when_lowered_for(platform, n):
    called = surgery.value_and_grads(lambda w, x: jnp.sum(jnp.tanh(x @ w)))
    return programs.operations(called, jnp.ones((4, 5)), jnp.ones((n, 6, 4)), platform=platform)["dot_general"]


@xla_of_today
def test_the_device_chooses_between_vmap_and_one_row_after_the_other():
    assert products_when_lowered_for("cuda", 2) == products_when_lowered_for("cuda", 7)
    assert products_when_lowered_for("cpu", 7) == 7 * products_when_lowered_for("cpu", 1)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_losses_that_are_not_finite_change_no_count(broken):
    rows = np.array([[broken, 1], [2, 3]], np.float32)
    called = jax.jit(surgery.value_and_grads(jnp.vdot, "accumulated"))
    losses, accumulated = called(np.ones(2, np.float32), rows)
    np.testing.assert_array_equal(losses, [broken, 5])
    np.testing.assert_array_equal(accumulated.total, [broken, 4])
    assert accumulated.num_rows == 2


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_change_no_order(broken):
    rows = np.array([[broken, 1], [2, 3], [4, 5]], np.float32)
    losses, stacked = jax.jit(_value_and_grads.unrolled(jnp.vdot))(np.ones(2, np.float32), rows)
    np.testing.assert_array_equal(losses, [broken, 5, 9])
    np.testing.assert_array_equal(stacked, rows)


def temporary_bytes(combiner, form, layers, n, batch=2):
    """Temporary memory of a compiled step on n domains, by XLA's own analysis."""
    width = layers[0].shape[0]
    optimizer = optax.chain(combiner, optax.adam(1e-3))

    def deep_loss(params, x):
        return jnp.mean(functools.reduce(lambda x, w: jax.nn.relu(x @ w), params, x))

    def step(params, state, x):
        losses, jacobian = surgery.value_and_grads(deep_loss, form)(params, x)
        updates, state = optimizer.update(jacobian, state, params, losses=losses)
        return optax.apply_updates(params, updates), state

    arguments = layers, jax.eval_shape(optimizer.init, layers), jax.ShapeDtypeStruct((n, batch, width), jnp.float32)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments)
    return lowered.compile(compiler_options=IN_LITTLE_MEMORY).memory_analysis().temp_size_in_bytes


LAYERS = [jax.ShapeDtypeStruct((256, 256), jnp.float32)] * 8
GRADIENT = 8 * 256 * 256 * 4


@xla_of_today
def test_accumulated_memory_does_not_grow_with_the_number_of_domains():
    few, many = (temporary_bytes(surgery.agr_rand(), "accumulated", LAYERS, n) for n in (3, 12))
    assert abs(many - few) < GRADIENT
    few, many = (temporary_bytes(surgery.agr_rand(), "stacked", LAYERS, n) for n in (3, 12))
    assert many - few > 4 * GRADIENT


@xla_of_today
def test_two_passes_hold_the_gradients_of_one_leaf():
    stacked, two_pass = (temporary_bytes(surgery.pcgrad(), form, LAYERS, 12) for form in ("stacked", "two_pass"))
    assert stacked > 12 * GRADIENT
    assert two_pass < 4 * GRADIENT


@xla_of_today
def test_one_after_the_other_the_activations_of_one_domain_at_a_time_are_kept():
    layers = [jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 4

    def deep_loss(params, x):
        return jnp.mean(functools.reduce(lambda x, w: jax.nn.relu(x @ w), params, x))

    def activations_held(n):
        lowered = jax.jit(_value_and_grads.unrolled(deep_loss)).lower(
            layers, jax.ShapeDtypeStruct((n, 1024, 64), jnp.float32)
        )
        memory = lowered.compile(compiler_options=IN_LITTLE_MEMORY).memory_analysis()
        return memory.temp_size_in_bytes / (4 * 1024 * 64)

    assert activations_held(12) - activations_held(3) < 4  # gradients are 2.25 of them


@pytest.mark.parametrize("form", ["two_pass", "on_demand"])
@pytest.mark.parametrize("has_aux", [False, True])
def test_the_gramian_of_some_leaves(form, has_aux):
    rng = np.random.default_rng(0)
    params = {"hidden": {"w": rng.normal(size=(4, 3))}, "last": rng.normal(size=3)}
    params = jax.tree.map(jnp.float32, params)
    x = jnp.asarray(rng.normal(size=(3, 5, 4)), jnp.float32)

    def loss(params, x):
        value = jnp.mean(jnp.tanh(x @ params["hidden"]["w"]) @ params["last"])
        return (value, x) if has_aux else value

    def all_losses(params, x):
        values = jax.vmap(loss, in_axes=(None, 0))(params, x)
        return values

    names = []
    options = {"has_aux": has_aux, "gram_of": lambda name: names.append(name) or name == "hidden.w"}
    for make, function in ((surgery.value_and_grads, loss), (surgery.value_and_jacobian, all_losses)):
        _, jacobian = make(function, form, **options)(params, x)
        gramian = jacobian.gramian() if form == "on_demand" else jacobian.gramian
        _, stacked = make(function, has_aux=has_aux)(params, x)
        rows = stacked["hidden"]["w"].reshape(3, -1)
        np.testing.assert_allclose(gramian, rows @ rows.T, rtol=1e-5, atol=1e-7)
        (pulled,) = jacobian.pull(jnp.array([1.0, -2.0, 0.5]))
        np.testing.assert_allclose(pulled["last"], jnp.array([1.0, -2.0, 0.5]) @ stacked["last"], rtol=1e-4, atol=1e-6)
        with pytest.raises(ValueError, match=r"gram_of takes no leaf; it was asked for 'hidden.w', 'last'"):
            make(function, form, has_aux=has_aux, gram_of=lambda name: False)(params, x)
        with pytest.raises(ValueError, match="gram_of is for form='two_pass' and form='on_demand'"):
            make(function, gram_of=lambda name: True)
    assert set(names) == {"hidden.w", "last"}
