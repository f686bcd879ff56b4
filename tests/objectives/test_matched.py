"""What CORAL and MMD promise besides their formulas, which test_parity_torch.py checks."""

import jax
import numpy as np
import pytest

from dg_jax import errors, models, objectives, strategies
from dg_jax.objectives.erm import erm
from tests.models import networks
from tests.objectives.worlds import KEY, apply_fn, domain_batch, evaluate


def features_fn(params, images, *, key, train):
    return jax.nn.relu(images.reshape(len(images), -1) @ params["w1"] + params["b1"])


def head_fn(params, features):
    return features @ params["w2"] + params["b2"]


BOTH = pytest.mark.parametrize("make", [objectives.coral, objectives.mmd])


@BOTH
def test_equal_or_single_domains_have_no_penalty(make):
    batch = domain_batch(1)
    [expected], _ = evaluate(erm(apply_fn), batch)
    twice = {name: np.concatenate([leaf, leaf]) for name, leaf in batch.items()}
    for one in (batch, twice):
        losses, rows = evaluate(make(features_fn, head_fn), one)
        # Rounding makes a distance of 0 slightly larger; MMD's highest rate turns that into up to 1e-3.
        np.testing.assert_allclose(losses, [expected], rtol=1e-3)
        assert rows["w1"].shape == (1, 12, 7)


@BOTH
def test_settings_out_of_range_are_named(make):
    with pytest.raises(ValueError, match=f"{make.__name__}: penalty_weight=-1; it must not be negative"):
        make(features_fn, head_fn, -1)
    with pytest.raises(ValueError, match=f"{make.__name__} needs at least 2 images per domain"):
        make(features_fn, head_fn)({}, domain_batch(size=1), key=KEY, step=0)


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "alexnet"])
def test_the_networks_give_both_parts(name):
    params, network = networks.random(name, 3)
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), np.float32)
    features = jax.eval_shape(network.features, params, images)
    assert features.shape == (2, {"small_cnn": 128, "resnet18": 512, "alexnet": 4096}[name])
    assert jax.eval_shape(network.head, params, features).shape == (2, 3)


def test_a_network_without_parts_is_refused():
    assert not hasattr(models.with_key_and_train(apply_fn), "features")
    with pytest.raises(errors.UserError, match="--strategy=coral needs features, but this network gives only logits"):
        strategies.make_objective("coral", apply_fn, {})
