"""Combiners inside the wrappers of optax and flax, and their states in files."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dg_jax import surgery

FACTORIES = {
    "deep_all": surgery.deep_all,
    "sum": surgery.sum,
    "agr_sum": surgery.agr_sum,
    "agr_rand": surgery.agr_rand,
    "pcgrad": surgery.pcgrad,
    "median": surgery.median,
    "group_dro": functools.partial(surgery.group_dro, num_rows=3),
}
FORMS = {
    "deep_all": ("stacked", "accumulated", "two_pass"),
    "sum": ("stacked", "accumulated", "two_pass"),
    "agr_sum": ("stacked", "accumulated"),
    "agr_rand": ("stacked", "accumulated"),
    "pcgrad": ("stacked", "two_pass"),
    "median": ("stacked",),
    "group_dro": ("stacked", "two_pass"),
}
assert FACTORIES.keys() == FORMS.keys()
PAIRS = [(name, form) for name, forms in FORMS.items() for form in forms]
PARAMS = {"w": np.array([[1.0, -1.0], [2.0, 0.5]], np.float32), "b": np.array([0.5, -0.5], np.float32)}
X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)


def loss(params, x):
    return jnp.mean((x @ params["w"] + params["b"]) ** 2)


def two_steps(optimizer, form):
    """Parameters after two steps under jit."""

    @jax.jit
    def step(params, state):
        losses, jacobian = surgery.value_and_grads(loss, form)(params, X)
        updates, state = optimizer.update(jacobian, state, params, losses=losses)
        return optax.apply_updates(params, updates), state

    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(2):
        params, state = step(params, state)
    return params


def assert_close(params, expected):
    for leaf, other in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_chains(name, form):
    expected = two_steps(optax.chain(FACTORIES[name](), optax.sgd(0.1)), form)
    assert_close(
        two_steps(optax.named_chain(("combine", FACTORIES[name]()), ("descend", optax.sgd(0.1))), form), expected
    )
    finite = optax.chain(FACTORIES[name](), optax.apply_if_finite(optax.sgd(0.1), 3))
    assert_close(two_steps(finite, form), expected)
    every = optax.chain(FACTORIES[name](), optax.MultiSteps(optax.sgd(0.1), 1).gradient_transformation())
    assert_close(two_steps(every, form), expected)


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_inject_hyperparams_and_schedule_free(name, form):
    expected = two_steps(optax.chain(FACTORIES[name](), optax.sgd(0.1)), form)
    factory = surgery.group_dro if name == "group_dro" else FACTORIES[name]
    settings = {"num_rows": 3} if name == "group_dro" else {}
    injected = optax.inject_hyperparams(factory, static_args=("num_rows",) if settings else ())(**settings)
    assert_close(two_steps(optax.chain(injected, optax.sgd(0.1)), form), expected)
    free = optax.contrib.schedule_free(optax.chain(FACTORIES[name](), optax.sgd(0.1)), learning_rate=0.1)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(two_steps(free, form)))


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, form in PAIRS if form != "two_pass"])
def test_partition_and_masked(name, form):
    whole = optax.chain(FACTORIES[name](), optax.sgd(0.1))
    parts = optax.partition({"w": FACTORIES[name](), "b": surgery.sum()}, {"w": "w", "b": "b"})
    result = two_steps(optax.chain(parts, optax.sgd(0.1)), form)
    summed = two_steps(optax.chain(surgery.sum(), optax.sgd(0.1)), form)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(result))
    if name in ("deep_all", "sum", "agr_sum"):  # each component depends only on itself: compare the first step
        updates = {}
        for key, optimizer in {"parts": optax.chain(parts, optax.sgd(0.1)), "whole": whole}.items():
            _, jacobian = surgery.value_and_grads(loss, form)(PARAMS, X)
            updates[key], _ = optimizer.update(jacobian, optimizer.init(PARAMS), PARAMS)
        np.testing.assert_allclose(updates["parts"]["w"], updates["whole"]["w"], rtol=1e-5)
    masked = optax.chain(
        optax.masked(FACTORIES[name](), {"w": True, "b": False}), optax.masked(surgery.sum(), {"w": False, "b": True})
    )
    both = two_steps(optax.chain(masked, optax.sgd(0.1)), form)
    assert_close(both, result)
    assert summed["b"].shape == both["b"].shape


@pytest.mark.parametrize("name", ["deep_all", "pcgrad"])
def test_two_pass_does_not_pass_masked(name):
    _, jacobian = surgery.value_and_grads(loss, "two_pass")(PARAMS, X)
    by_shape = optax.masked(FACTORIES[name](), lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 2, tree))
    with pytest.raises(ValueError, match=r"form='two_pass' fails in optax.masked and optax.partition"):
        by_shape.update(jacobian, by_shape.init(PARAMS))
    by_tree = optax.masked(FACTORIES[name](), {"w": True, "b": False})  # fails before the combiner is called
    with pytest.raises(ValueError, match="TwoPass"):
        by_tree.update(jacobian, by_tree.init(PARAMS), PARAMS)


def test_frozen_parts_need_a_combiner_of_their_own():
    """Without one their updates have N rows, and no combiner can see it; see docs/pitfalls.md."""
    labels = {"w": "train", "b": "freeze"}
    _, jacobian = surgery.value_and_grads(loss)(PARAMS, X)
    wrong = optax.partition({"train": surgery.agr_sum(), "freeze": optax.set_to_zero()}, labels)
    updates, _ = wrong.update(jacobian, wrong.init(PARAMS), PARAMS)
    assert updates["b"].shape == (3, 2)
    frozen = optax.chain(surgery.deep_all(), optax.set_to_zero())
    right = optax.partition({"train": surgery.agr_sum(), "freeze": frozen}, labels)
    updates, _ = right.update(jacobian, right.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["b"], [0, 0])


@pytest.mark.parametrize("name", FACTORIES)
def test_flax_train_state(name):
    train_state = pytest.importorskip("flax.training.train_state")
    optimizer = optax.chain(FACTORIES[name](), optax.sgd(0.1))
    state = train_state.TrainState.create(apply_fn=None, params=PARAMS, tx=optimizer)
    losses, jacobian = surgery.value_and_grads(loss)(PARAMS, X)
    if name == "group_dro":
        with pytest.raises(ValueError, match=r"TrainState.apply_gradients drops it: call state.tx.update"):
            state.apply_gradients(grads=jacobian)
        updates, opt_state = state.tx.update(jacobian, state.opt_state, state.params, losses=losses)
        state = state.replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)
    else:
        state = state.apply_gradients(grads=jacobian)
    expected, _ = optimizer.update(jacobian, optimizer.init(PARAMS), PARAMS, losses=losses)
    assert_close(state.params, optax.apply_updates(PARAMS, expected))


def test_nnx_optimizer():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.chain(surgery.group_dro(num_rows=3), optax.sgd(0.1)), wrt=nnx.Param)
    definition, params = nnx.split(model)

    def model_loss(params, x):
        return jnp.mean(nnx.merge(definition, params)(x) ** 2)

    losses, jacobian = surgery.value_and_grads(model_loss)(params, X)
    before = np.asarray(model.kernel[...])
    optimizer.update(model, jacobian, losses=losses)
    assert model.kernel[...].shape == before.shape and np.any(np.asarray(model.kernel[...]) != before)


def trained(name):
    combiner = FACTORIES[name]()
    losses, jacobian = surgery.value_and_grads(loss)(PARAMS, X)
    return combiner, combiner.update(jacobian, combiner.init(PARAMS), losses=losses)[1], jacobian


def assert_goes_on_the_same(combiner, state, restored, jacobian):
    one, other = (combiner.update(jacobian, each, losses=np.ones(3, np.float32))[0] for each in (state, restored))
    for leaf, same in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, same)


@pytest.mark.parametrize("name", FACTORIES)
def test_pickle(name):
    combiner, state, jacobian = trained(name)
    restored = pickle.loads(pickle.dumps(state))
    assert_goes_on_the_same(combiner, state, restored, jacobian)


@pytest.mark.parametrize("name", ["agr_rand", "pcgrad"])
def test_savers_of_plain_arrays_take_key_data(name):
    serialization = pytest.importorskip("flax.serialization")
    combiner, state, jacobian = trained(name)
    with pytest.raises(TypeError):
        serialization.to_bytes(state)
    raw = state._replace(key=jax.random.key_data(state.key))
    restored = serialization.from_bytes(raw, serialization.to_bytes(raw))
    restored = restored._replace(key=jax.random.wrap_key_data(restored.key))
    assert_goes_on_the_same(combiner, state, restored, jacobian)


@pytest.mark.parametrize("name", FACTORIES)
def test_orbax(name, tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    combiner, state, jacobian = trained(name)
    if not jax.tree.leaves(state):
        return  # nothing to save
    with checkpoint.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", state)
        saver.wait_until_finished()
        restored = saver.restore(tmp_path / "state", combiner.init(PARAMS))
    assert_goes_on_the_same(combiner, state, restored, jacobian)


def test_microbatches_of_each_domain():
    """Rows that optax.microbatching accumulates are those of whole batches."""
    microbatching = pytest.importorskip("optax.microbatching")
    whole = surgery.value_and_grads(loss)
    mean = microbatching.AccumulationType.MEAN
    in_parts = microbatching.microbatch(whole, argnums=1, microbatch_size=2, accumulator=mean, in_axes=1)
    expected, stacked = whole(PARAMS, X)
    losses, accumulated = jax.jit(in_parts)(PARAMS, X)
    assert_close((losses, accumulated), (expected, stacked))
