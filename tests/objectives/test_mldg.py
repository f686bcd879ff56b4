import functools

import chex
import jax
import numpy as np
import optax
import pytest

from dg_jax.objectives.erm import erm
from dg_jax.objectives.loss import cross_entropy
from dg_jax.objectives.mldg import draw, mldg
from tests import quick
from tests.objectives.worlds import (
    KEY,
    apply_fn,
    apply_with_dropout,
    changed_rows,
    domain_batch,
    evaluate,
    parameters,
    with_other_images,
)

DRAW = quick.jit(functools.partial(draw, pairing="split"), static_argnums=1)
CIRCLE = quick.jit(functools.partial(draw, pairing="circle"), static_argnums=1)
RUN = {"learning_rate": 1e-2, "weight_decay": 5e-2}


def test_beta_0_is_erm_of_the_meta_train_domains():
    batch = domain_batch()
    meta_train, _, _ = DRAW(KEY, 3)
    losses, rows = evaluate(erm(apply_fn), batch)
    expected = losses[meta_train], jax.tree.map(lambda leaf: 2 / 3 * leaf[meta_train], rows)
    objective = mldg(apply_fn, **RUN, beta=0.0)
    chex.assert_trees_all_close(evaluate(objective, batch), expected, rtol=1e-6)


@pytest.mark.parametrize("second_order", [False, True])
def test_the_inner_step_is_that_of_a_fresh_adam_with_l2(second_order):
    params, batch, beta = parameters(), jax.device_put(domain_batch()), 0.7
    meta_train, meta_test, _ = DRAW(KEY, 3)
    adam = optax.chain(optax.add_decayed_weights(RUN["weight_decay"]), optax.adam(RUN["learning_rate"]))

    def risk(params, domain):
        return cross_entropy(apply_fn(params, batch["image"][domain], key=None, train=True), batch["label"][domain])

    def step(params, domain):
        updates, _ = adam.update(jax.grad(risk)(params, domain), adam.init(params), params)
        return optax.apply_updates(params, updates)

    def test_risk(params, domain):
        return risk(step(params, domain), meta_test)

    @quick.jit
    def pair(domain):
        train_loss, train = jax.value_and_grad(risk)(params, domain)
        test_loss, test = jax.value_and_grad(test_risk)(params, domain)
        if not second_order:
            test = jax.grad(risk)(step(params, domain), meta_test)
        return train_loss + beta * test_loss, jax.tree.map(lambda g, h: 2 / 3 * (g + beta * h), train, test)

    losses, rows = evaluate(mldg(apply_fn, **RUN, beta=beta, second_order=second_order), batch)
    for row, domain in enumerate(meta_train):
        ours = losses[row], jax.tree.map(lambda leaf: leaf[row], rows)  # noqa: B023
        chex.assert_trees_all_close(ours, pair(domain), rtol=1e-4, atol=1e-6)


def test_every_row_depends_on_its_domain_and_on_the_meta_test_domain():
    batch, objective = domain_batch(), mldg(apply_fn, **RUN)
    meta_train, meta_test, _ = DRAW(KEY, 3)
    for domain in range(3):
        changed = changed_rows(objective, batch, with_other_images(batch, domain))
        assert changed == [domain in (row_domain, meta_test) for row_domain in meta_train]


def test_splits_are_random_and_in_ascending_order():
    splits = [jax.device_get(DRAW(jax.random.key(seed), 4)[:2]) for seed in range(40)]
    for meta_train, meta_test in splits:
        assert meta_train.tolist() == [domain for domain in range(4) if domain != meta_test]
    assert {int(meta_test) for _, meta_test in splits} == {0, 1, 2, 3}


def test_a_circle_pairs_each_domain_with_another_and_goes_round_all():
    circles = [jax.device_get(CIRCLE(jax.random.key(seed), 4)[:2]) for seed in range(60)]
    for meta_train, following in circles:
        assert meta_train.tolist() == [0, 1, 2, 3]
        seen = [0]
        while following[seen[-1]] != 0:
            seen.append(int(following[seen[-1]]))
        assert sorted(seen) == [0, 1, 2, 3]
    assert len({tuple(following.tolist()) for _, following in circles}) == 6  # all possible circles


@pytest.mark.parametrize("n", [2, 4])
def test_in_a_circle_every_row_depends_on_its_domain_and_on_the_next(n):
    batch, objective = domain_batch(n), mldg(apply_fn, **RUN, pairing="circle")
    _, following, _ = CIRCLE(KEY, n)
    for domain in range(n):
        changed = changed_rows(objective, batch, with_other_images(batch, domain))
        assert changed == [domain in (row, following[row]) for row in range(n)]


def test_second_order_is_finite_where_the_inner_gradient_is_zero():
    # A black pixel and dead units: no gradient, and no L2 term either.
    params, batch = parameters(), domain_batch()
    params["b1"][:3] = -100
    batch["image"][..., 0] = 0
    objective = mldg(apply_fn, learning_rate=1e-2, weight_decay=0.0, second_order=True)
    losses, rows = jax.device_get(quick.jit(objective)(params, batch, key=KEY, step=0))
    chex.assert_tree_all_finite((losses, rows))
    assert np.all(rows["w1"][..., :3] == 0) and np.any(rows["w1"] != 0)


def test_dropout_differs_between_the_rows_and_within_a_pair():
    one = domain_batch(1)
    same = {name: np.repeat(leaf, 3, axis=0) for name, leaf in one.items()}
    settings = {"learning_rate": 0.0, "weight_decay": 0.0}
    train, _ = evaluate(mldg(apply_with_dropout, **settings, beta=0.0), same)
    both, _ = evaluate(mldg(apply_with_dropout, **settings, beta=1.0), same)
    assert len({*train.tolist(), *(both - train).tolist()}) == 4


def test_negative_beta_is_an_error():
    with pytest.raises(ValueError, match=r"mldg: beta=-1\.0"):
        mldg(apply_fn, **RUN, beta=-1.0)


def test_another_pairing_is_an_error():
    with pytest.raises(ValueError, match="mldg: pairing='pairs'; it must be 'split' or 'circle'"):
        mldg(apply_fn, **RUN, pairing="pairs")


def test_one_domain_is_an_error_at_trace_time():
    with pytest.raises(ValueError, match="mldg needs at least two source domains"):
        jax.eval_shape(mldg(apply_fn, **RUN), parameters(), domain_batch(1), key=KEY, step=0)
