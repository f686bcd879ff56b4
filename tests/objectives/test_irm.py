import chex
import jax
import numpy as np
import pytest

from dg_jax.objectives.erm import erm
from dg_jax.objectives.irm import irm
from tests import quick
from tests.objectives.worlds import (
    KEY,
    apply_fn,
    apply_with_dropout,
    changed_rows,
    domain_batch,
    evaluate,
    jitted,
    parameters,
    with_other_images,
)

ERM = erm(apply_fn)


def scale_slope(logits, labels):
    """The derivative of the cross-entropy with respect to a factor on the logits, derived by hand."""
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.mean((probabilities * logits).sum(axis=1) - logits[np.arange(len(labels)), labels])


def penalties(params, batch):
    result = []
    for images, labels in zip(batch["image"], batch["label"], strict=True):
        logits = np.asarray(jitted(apply_fn)(params, images, key=None, train=True), np.float64)
        result.append(scale_slope(logits[0::2], labels[0::2]) * scale_slope(logits[1::2], labels[1::2]))
    return np.array(result)


@pytest.mark.parametrize("anneal_steps", [0, 3])
def test_the_weight_changes_exactly_at_anneal_steps(anneal_steps):
    params, batch = parameters(), domain_batch()
    objective = irm(apply_fn, penalty_weight=7.0, anneal_steps=anneal_steps)
    objective = quick.jit(chex.assert_max_traces(objective, n=1))
    risks, _ = evaluate(ERM, batch)
    expected = penalties(params, batch)
    assert (np.abs(expected) > 1e-3).all()
    for step in range(5):
        losses, _ = objective(params, batch, key=KEY, step=np.int32(step))
        weight = 1 if step < anneal_steps else 7
        np.testing.assert_allclose(losses - risks, weight * expected, rtol=1e-4, atol=1e-6)


def test_weight_zero_is_erm():
    batch = domain_batch()
    objective = irm(apply_with_dropout, penalty_weight=0.0, anneal_steps=0)
    expected = evaluate(erm(apply_with_dropout), batch)
    chex.assert_trees_all_close(evaluate(objective, batch), expected, rtol=1e-6)


def test_rows_are_the_domains():
    batch, objective = domain_batch(), irm(apply_fn, anneal_steps=0)
    for domain in range(3):
        changed = changed_rows(objective, batch, with_other_images(batch, domain))
        assert changed == [row == domain for row in range(3)]


def test_negative_settings_are_errors():
    with pytest.raises(ValueError, match=r"irm: penalty_weight=-1\.0"):
        irm(apply_fn, anneal_steps=0, penalty_weight=-1.0)
    with pytest.raises(ValueError, match="irm: anneal_steps=-1"):
        irm(apply_fn, anneal_steps=-1)


def test_one_image_per_domain_is_an_error_at_trace_time():
    with pytest.raises(ValueError, match="irm needs at least 2 images per domain"):
        jax.eval_shape(irm(apply_fn, anneal_steps=0), parameters(), domain_batch(size=1), key=KEY, step=0)
