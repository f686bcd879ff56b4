import chex
import numpy as np
import pytest

from dg_jax import surgery
from dg_jax.objectives.erm import erm
from dg_jax.objectives.vrex import vrex
from tests import quick
from tests.objectives.worlds import KEY, apply_fn, apply_with_dropout, domain_batch, evaluate, parameters


@pytest.mark.parametrize("anneal_steps", [0, 2])
def test_each_loss_has_its_squared_distance_to_the_mean(anneal_steps):
    params, batch = parameters(), domain_batch()
    objective = quick.jit(chex.assert_max_traces(vrex(apply_fn, anneal_steps, penalty_weight=7.0), n=1))
    risks, _ = evaluate(erm(apply_fn), batch)
    for step in range(3):
        losses, _ = objective(params, batch, key=KEY, step=np.int32(step))
        weight = 1 if step < anneal_steps else 7
        np.testing.assert_allclose(losses, risks + weight * (risks - risks.mean()) ** 2, rtol=1e-4)


def test_the_mean_is_of_the_same_draws_of_dropout():
    batch = domain_batch()
    risks, rows = evaluate(erm(apply_with_dropout), batch)
    _, found = evaluate(vrex(apply_with_dropout, anneal_steps=0, penalty_weight=3.0), batch)
    factors = 1 + 2 * 3.0 * (risks - risks.mean())
    for name, expected in rows.items():
        scaled = expected * factors.reshape(-1, *(1,) * (expected.ndim - 1))
        np.testing.assert_allclose(found[name], scaled, rtol=1e-4, atol=1e-5, err_msg=name)


def test_weight_zero_is_erm():
    batch = domain_batch()
    found = evaluate(vrex(apply_fn, anneal_steps=0, penalty_weight=0.0), batch)
    chex.assert_trees_all_close(found, evaluate(erm(apply_fn), batch), rtol=1e-6)


@pytest.mark.parametrize("form", ["accumulated", "two_pass"])
def test_other_forms_give_the_same_mean(form):
    batch, mean = domain_batch(), surgery.deep_all()
    gradients = []
    for one in ("stacked", form):
        _, jacobian = vrex(apply_fn, anneal_steps=0, form=one)(parameters(), batch, key=KEY, step=0)
        gradients.append(mean.update(jacobian, mean.init(None))[0])
    chex.assert_trees_all_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("penalty_weight", -1.0), ("anneal_steps", -1)])
def test_a_negative_setting_is_named(name, value):
    with pytest.raises(ValueError, match=f"vrex: {name}={value}; it must not be negative"):
        vrex(apply_fn, **{"anneal_steps": 0, name: value})
