import chex
import numpy as np
import pytest

from dg_jax.objectives.erm import erm
from dg_jax.objectives.iga import iga
from tests.objectives.worlds import apply_fn, domain_batch, evaluate


def test_each_loss_has_its_gradients_squared_distance_to_the_mean():
    batch = domain_batch()
    risks, rows = evaluate(erm(apply_fn), batch)
    losses, _ = evaluate(iga(apply_fn, penalty_weight=0.2), batch)
    flat = np.concatenate([leaf.reshape(3, -1) for leaf in rows.values()], axis=1)
    distances = ((flat - flat.mean(axis=0)) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses, risks + 3 * 0.2 * distances, rtol=1e-4)


def test_weight_zero_is_erm():
    batch = domain_batch()
    found = evaluate(iga(apply_fn, penalty_weight=0.0), batch)
    chex.assert_trees_all_close(found, evaluate(erm(apply_fn), batch), rtol=1e-5, atol=1e-7)


def test_a_negative_weight_is_named():
    with pytest.raises(ValueError, match="iga: penalty_weight=-1; it must not be negative"):
        iga(apply_fn, penalty_weight=-1)
