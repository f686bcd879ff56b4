"""Wrong input raises an error that names the leaf and says what to do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery

COMBINERS = {
    "deep_all": surgery.deep_all(),
    "sum": surgery.sum(),
    "agr_sum": surgery.agr_sum(),
    "agr_rand": surgery.agr_rand(),
    "pcgrad": surgery.pcgrad(),
    "grad_vac": surgery.grad_vac(num_rows=3),
    "grad_drop": surgery.grad_drop(),
    "gga_l": surgery.gga_l(),
    "sand_mask": surgery.sand_mask(),
    "and_mask": surgery.and_mask(),
    "krum": surgery.krum(byzantine=0),
    "median": surgery.median(),
    "group_dro": surgery.group_dro(num_rows=3),
}
PARAMS = {"w": np.zeros((4, 5), np.float32), "b": np.zeros(5, np.float32), "s": np.zeros((), np.float32)}
LOSSES = {"losses": np.ones(3, np.float32)}


@pytest.fixture(params=COMBINERS)
def combiner(request):
    return COMBINERS[request.param]


def stacked(**changed):
    return jax.tree.map(lambda leaf: np.ones((3, *leaf.shape), leaf.dtype), PARAMS) | changed


def update(combiner, gradients, params=PARAMS):
    return combiner.update(gradients, combiner.init(params), params, **LOSSES)


def test_right_shapes_are_no_error(combiner):
    gradient, _ = update(combiner, stacked())
    assert {name: leaf.shape for name, leaf in gradient.items()} == {"w": (4, 5), "b": (5,), "s": ()}


@pytest.mark.parametrize("jit", [False, True])
def test_gradients_that_were_never_stacked(combiner, jit):
    called = functools.partial(update, combiner)
    called = jax.jit(called) if jit else called
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(5,\) and its parameter \(5,\).*\(N, 5\).*not vmapped"):
        called(PARAMS)
    with pytest.raises(ValueError, match=r"\['w'\] has shape \(3, 5, 4\) and its parameter \(4, 5\).*\(N, 4, 5\)"):
        called(stacked(w=np.ones((3, 5, 4), np.float32)))
    with pytest.raises(ValueError, match=r"\['s'\] has shape \(\) and its parameter \(\).*not vmapped"):
        called(stacked(s=np.ones((), np.float32)))
    with pytest.raises(ValueError, match=r"the gradients have a leaf \['z'\], the parameters have none there"):
        called(stacked(z=np.ones((3, 2), np.float32)))


def test_multi_steps_and_flatten_around_a_combiner(combiner):
    wrapped = optax.MultiSteps(optax.chain(combiner, optax.sgd(1.0)), 2)
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(5,\).*optax.MultiSteps and optax.flatten belong after"):
        wrapped.update(PARAMS, wrapped.init(PARAMS), PARAMS, **LOSSES)
    flattened = optax.flatten(optax.chain(combiner, optax.sgd(1.0)))
    with pytest.raises(ValueError, match=r"the only leaf has shape \(78,\) and its parameter \(26,\)"):
        flattened.update(stacked(), flattened.init(PARAMS), PARAMS, **LOSSES)


@pytest.mark.parametrize("name", ["agr_sum", "agr_rand", "deep_all", "sum"])
def test_accumulated_gradients_of_other_shapes(name):
    accumulated = surgery.accumulate(stacked())
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(3, 5\) and its parameter \(5,\).*the parameter's"):
        update(COMBINERS[name], accumulated)


@pytest.mark.parametrize("name", ["pcgrad", "deep_all", "sum", "group_dro"])
def test_a_two_pass_jacobian_of_other_parameters(name):
    two_pass = surgery.value_and_grads(lambda params, x: jnp.vdot(params["b"], x), "two_pass")
    _, jacobian = two_pass({"b": np.ones(4)}, np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(4,\) and its parameter \(5,\)"):
        update(COMBINERS[name], jacobian)
    with pytest.raises(ValueError, match=r"the Gramian has shape \(3,\); it must be \[N, N\]"):
        update(COMBINERS[name], jacobian._replace(gramian=jnp.ones(3)))


@pytest.mark.parametrize("name", ["agr_sum", "agr_rand"])
def test_rules_by_component_do_not_take_two_pass(name):
    _, jacobian = surgery.value_and_grads(jnp.vdot, "two_pass")(np.ones(4, np.float32), np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match=rf"{name} does not take form='two_pass', only 'stacked' or 'accumulated'"):
        COMBINERS[name].update(jacobian, COMBINERS[name].init(None))
    with pytest.raises(ValueError, match="agreement does not take form='two_pass'"):
        surgery.agreement(jacobian)


def test_different_row_counts_name_the_leaf(combiner):
    with pytest.raises(ValueError, match=r"\['b'\] has 2 rows, but .*\['a'\] has 3"):
        combiner.update({"a": np.ones((3, 2)), "b": np.ones((2, 2))}, combiner.init(None))


def test_a_leaf_without_rows_is_named(combiner):
    with pytest.raises(ValueError, match=r"\['b'\] has shape \(\)"):
        combiner.update({"a": np.ones((3, 2)), "b": np.ones(())}, combiner.init(None))
    with pytest.raises(ValueError, match=r"\['a'\] has shape \(0, 2\)"):
        combiner.update({"a": np.ones((0, 2))}, combiner.init(None))


def test_an_empty_tree_is_an_error(combiner):
    with pytest.raises(ValueError, match="no leaves"):
        combiner.update({}, combiner.init({}))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.complex64, jax.dtypes.float0, object])
def test_leaves_that_are_not_floating_point_are_named(combiner, dtype):
    gradients = {"a": np.ones((3, 2), np.float32), "b": np.zeros((3, 2), dtype)}
    with pytest.raises(ValueError, match=r"\['b'\] is .*only floating-point"):
        combiner.update(gradients, combiner.init(None), **LOSSES)
    if dtype is not object:
        with pytest.raises(ValueError, match=r"\['b'\] is .*only floating-point"):
            surgery.accumulate(jax.tree.map(lambda leaf: leaf[0], gradients))


@pytest.mark.parametrize("factory", [surgery.agr_rand, surgery.pcgrad])
def test_a_key_is_an_integer_or_a_typed_key(factory):
    for key in (0, np.int64(7), jnp.uint32(7), jax.random.key(7), jax.random.key(3, impl="rbg")):
        state = factory(key=key).init(None)
        assert jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    seeded, keyed = (jax.random.key_data(factory(key=key).init(None).key) for key in (7, jax.random.key(7)))
    np.testing.assert_array_equal(seeded, keyed)
    for key in (0.5, "a", 2**70, jax.random.PRNGKey(0), jax.random.split(jax.random.key(0)), None):
        with pytest.raises(ValueError, match="give an integer"):
            factory(key=key).init(None)
