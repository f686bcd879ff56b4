"""One update of each method, and whole Adam steps, against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")

from dg_jax.objectives.erm import erm  # noqa: E402
from dg_jax.objectives.fishr import fishr  # noqa: E402
from dg_jax.objectives.iga import iga  # noqa: E402
from dg_jax.objectives.irm import irm  # noqa: E402
from dg_jax.objectives.matched import coral, mmd  # noqa: E402
from dg_jax.objectives.mixup import draw as draw_mixup  # noqa: E402
from dg_jax.objectives.mixup import mixup  # noqa: E402
from dg_jax.objectives.mldg import draw as draw_mldg  # noqa: E402
from dg_jax.objectives.mldg import mldg  # noqa: E402
from dg_jax.objectives.vrex import vrex  # noqa: E402
from dg_jax.surgery import agr_sum, deep_all, group_dro  # noqa: E402
from tests import quick  # noqa: E402
from tests.objectives import torch_reference as reference  # noqa: E402
from tests.objectives.worlds import apply_fn, domain_batch, features_fn, head_fn, jitted, parameters  # noqa: E402

ERM = erm(apply_fn)
TOLERANCE = 1e-5


def assert_close(ours, theirs):
    """Checks that each leaf is equal to within 1e-5 of its largest entry."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        expected = expected.detach().numpy()
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name)


def deep_all_update(objective):
    """The mean of the losses and of the rows."""

    def update(params, batch, key, step=0):
        losses, rows = objective(params, batch, key=key, step=step)
        return jnp.mean(losses), deep_all().update(rows, deep_all().init(params))[0]

    return update


def test_irm():
    update = quick.jit(deep_all_update(irm(apply_fn, anneal_steps=500)))
    for seed in range(3):
        for step, weight in [(499, 1.0), (500, 100.0)]:
            params, batch = parameters(seed), domain_batch(seed=seed)
            total, gradient = update(params, batch, jax.random.key(seed), step)
            expected_total, expected = reference.irm(reference.variables(params), batch, weight)
            np.testing.assert_allclose(total, expected_total, rtol=TOLERANCE)
            assert_close(gradient, expected)


MATCHED = {"coral": (coral, reference.moments_apart), "mmd": (mmd, reference.discrepancy)}


@pytest.mark.parametrize("name", MATCHED)
@pytest.mark.parametrize("n", [2, 3])
def test_objectives_that_match_features(name, n):
    make, apart = MATCHED[name]
    update = quick.jit(deep_all_update(make(features_fn, head_fn, penalty_weight=0.7)))
    for seed in range(3):
        params, batch = parameters(seed), domain_batch(n, seed=seed)
        total, gradient = update(params, batch, jax.random.key(seed))
        expected_total, expected = reference.matched(reference.variables(params), batch, 0.7, apart)
        np.testing.assert_allclose(total, expected_total, rtol=TOLERANCE)
        assert_close(gradient, expected)


@pytest.mark.parametrize("n", [2, 3])
def test_objectives_that_match_losses_or_gradients(n):
    of_losses = quick.jit(deep_all_update(vrex(apply_fn, anneal_steps=500)))
    of_gradients = quick.jit(deep_all_update(iga(apply_fn, penalty_weight=0.3)))
    for seed in range(3):
        params, batch, theirs = parameters(seed), domain_batch(n, seed=seed), reference.variables(parameters(seed))
        for step, weight in [(499, 1.0), (500, 10.0)]:
            _, gradient = of_losses(params, batch, jax.random.key(seed), step)
            assert_close(gradient, reference.vrex(theirs, batch, weight)[1])
        _, gradient = of_gradients(params, batch, jax.random.key(seed))
        assert_close(gradient, reference.iga(theirs, batch, 0.3)[1])


TEN_STEPS = {
    "irm": (irm(apply_fn, 4, 3.0), lambda p, b, step: reference.irm(p, b, 1.0 if step < 4 else 3.0)),
    "vrex": (vrex(apply_fn, anneal_steps=4), lambda p, b, step: reference.vrex(p, b, 1.0 if step < 4 else 10.0)),
    "iga": (iga(apply_fn, 0.3), lambda p, b, step: reference.iga(p, b, 0.3)),
    "coral": (coral(features_fn, head_fn), lambda p, b, step: reference.matched(p, b, 1.0, reference.moments_apart)),
    "mmd": (mmd(features_fn, head_fn), lambda p, b, step: reference.matched(p, b, 1.0, reference.discrepancy)),
}


@pytest.mark.parametrize("name", TEN_STEPS)
def test_ten_steps(name):
    objective, theirs = TEN_STEPS[name]
    update = quick.jit(deep_all_update(objective))
    params, variables = parameters(), reference.variables(parameters())
    for step in range(10):
        batch = domain_batch(seed=step)
        _, gradient = update(params, batch, jax.random.key(step), step)
        expected = theirs(variables, batch, step)[1]
        params = jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient)
        moved = {key: (value - 0.02 * expected[key]).detach() for key, value in variables.items()}
        variables = {key: value.requires_grad_() for key, value in moved.items()}
    assert_close(params, variables)


def test_ten_steps_of_fishr():
    objective = fishr(features_fn, head_fn, anneal_steps=4, penalty_weight=3.0, ema=0.9)
    update = quick.jit(objective.update)
    params, variables, kept = parameters(), reference.variables(parameters()), None
    state = objective.init(params, domain_batch())
    for step in range(10):
        batch = domain_batch(seed=step)
        losses, rows, state = update(params, batch, state, key=jax.random.key(step), step=step)
        gradient = deep_all().update(rows, deep_all().init(params))[0]
        total, expected, kept = reference.fishr(variables, batch, kept, 3.0 if step >= 4 else 0.0, 0.9)
        np.testing.assert_allclose(jnp.mean(losses), total, rtol=TOLERANCE)
        if step in (0, 4):
            assert_close(gradient, expected)
        params = jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient)
        moved = {key: (value - 0.02 * expected[key]).detach() for key, value in variables.items()}
        variables = {key: value.requires_grad_() for key, value in moved.items()}
    assert_close(params, variables)


def test_mixup():
    update = deep_all_update(mixup(apply_fn))
    # in one jit: Beta draws are fast to run and slow to compile
    update_and_draw = quick.jit(lambda params, batch, key: (update(params, batch, key), draw_mixup(key, 3, 0.2)))
    for seed in range(3):
        params, batch, key = parameters(seed), domain_batch(seed=seed), jax.random.key(seed)
        (total, gradient), (second, lams, _) = update_and_draw(params, batch, key)
        pairs = [(i, int(second[i])) for i in range(3)]
        expected_total, expected = reference.mixup(reference.variables(params), batch, pairs, lams.tolist())
        np.testing.assert_allclose(total, expected_total, rtol=TOLERANCE)
        assert_close(gradient, expected)


def mldg_pairs(key, n, pairing="split"):
    meta_train, meta_test, _ = quick.jit(draw_mldg, static_argnums=(1, 2))(key, n, pairing)
    return [(int(i), int(j)) for i, j in zip(meta_train, jnp.broadcast_to(meta_test, len(meta_train)), strict=True)]


@pytest.mark.parametrize("pairing", ["split", "circle"])
@pytest.mark.parametrize("n", [2, 3])
def test_mldg_first_order(n, pairing):
    settings = {"learning_rate": 1e-2, "weight_decay": 5e-2, "beta": 0.7}
    params, batch, key = parameters(), domain_batch(n), jax.random.key(n)
    _, gradient = quick.jit(deep_all_update(mldg(apply_fn, **settings, pairing=pairing)))(params, batch, key)
    pairs = mldg_pairs(key, n, pairing)
    assert_close(gradient, reference.mldg_first_order(reference.variables(params), batch, pairs, **settings))


@pytest.mark.parametrize("n", [2, 3])
def test_mldg_second_order(n):
    # Adam's first step is nearly sign(gradient): flat unless the gradient is near eps. So the images are dark and the
    # gradients small. Without L2, the gradient of dead units would be zero, and PyTorch's derivative there NaN.
    settings = {"learning_rate": 1e-2, "weight_decay": 1e-6, "beta": 0.7}
    params, batch, key = parameters(), domain_batch(n), jax.random.key(n)
    batch["image"] = batch["image"] * 1e-5
    _, gradient = quick.jit(deep_all_update(mldg(apply_fn, **settings, second_order=True)))(params, batch, key)
    pairs = mldg_pairs(key, n)
    assert_close(gradient, reference.mldg_second_order(reference.variables(params), batch, pairs, **settings))
    first_order = reference.mldg_first_order(reference.variables(params), batch, pairs, **settings)
    with pytest.raises(AssertionError, match="w1"):
        assert_close(gradient, first_order)


def test_three_updates_of_group_dro():
    params, learning_rate, step_size = parameters(), 0.1, 0.5
    theirs, weights = reference.variables(params), torch.ones(3, dtype=torch.float64)
    objective = jitted(ERM)
    optimizer = optax.chain(group_dro(step_size), optax.sgd(learning_rate))
    update = quick.jit(optimizer.update)
    state = optimizer.init(params)
    for seed in range(3):
        batch = domain_batch(seed=seed)
        losses, rows = objective(params, batch, key=jax.random.key(0), step=seed)
        updates, state = update(rows, state, params, losses=losses)
        expected, weights = reference.group_dro(theirs, batch, weights, step_size)
        assert_close(updates, {name: -learning_rate * value for name, value in expected.items()})
        np.testing.assert_allclose(state[0].weights, weights, rtol=TOLERANCE)
        assert np.ptp(weights.numpy()) > 0.05
        params = optax.apply_updates(params, updates)
        theirs = {name: (theirs[name] - learning_rate * expected[name]).detach() for name in theirs}
        theirs = reference.variables(theirs)


@pytest.mark.parametrize("name", ["deep_all", "agr_sum"])
def test_three_adam_steps_with_l2(name):
    # A pixel that is always black has no gradient, so only the L2 term moves its weights.
    batches = [domain_batch(seed=seed) for seed in range(3)]
    for batch in batches:
        batch["image"][..., 0, 0, 0] = 0
    combiner = {"deep_all": deep_all, "agr_sum": agr_sum}[name]()
    objective = jitted(ERM)
    optimizer = optax.chain(combiner, optax.add_decayed_weights(5e-5), optax.adam(1e-3))
    update = quick.jit(optimizer.update)
    params = parameters()
    state = optimizer.init(params)
    for batch in batches:
        _, rows = objective(params, batch, key=jax.random.key(0), step=0)
        updates, state = update(rows, state, params)
        params = optax.apply_updates(params, updates)
    theirs = reference.variables(parameters())
    assert_close(params, reference.train_adam(theirs, batches, getattr(reference, name), 1e-3, 5e-5))
    assert np.all(np.abs(params["w1"][0] - parameters()["w1"][0]) > 1e-3)
