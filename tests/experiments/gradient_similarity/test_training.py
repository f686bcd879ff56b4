"""Training with measurements: what is measured, and that measuring does not change the training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors, imagenet
from dg_jax.analysis import similarity
from dg_jax.data import dataset, feed, sampling
from dg_jax.models import functional
from dg_jax.training import keys
from experiments.gradient_similarity import training
from tests.training import worlds

PARAMS, APPLY_FN = worlds.linear_model()
PARAMS = {"kernel": jnp.arange(9.0).reshape(3, 3) / 9, "bias": jnp.array([0.1, 0.0, -0.1])}


def sources():
    data = worlds.tiny_dataset()
    return dataclasses.replace(data, domains={name: data.domains[name] for name in ("apple", "google")})


def config(tmp_path, **changes):
    return worlds.tiny_config(tmp_path, strategy="deep_all", **changes)


def train(run_config, probe, every, data=None):
    params = jax.tree.map(jnp.copy, PARAMS)
    options = {"every": every, "per_domain": 3, "report": lambda done: None}
    return training.train(run_config, data or sources(), params, APPLY_FN, probe, **options)


def gradient(params, image, label):
    """The gradient of the cross-entropy of the linear model on one image, by hand."""
    features = np.asarray(sampling.network_input(image), np.float64).mean(axis=(0, 1))
    logits = features @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)
    delta = np.exp(logits) / np.exp(logits).sum() - np.eye(3)[label]
    return {"bias": delta, "kernel": np.outer(features, delta)}


def test_similarity_is_that_of_flattened_per_sample_gradients():
    rng = np.random.default_rng(0)
    parts = [
        dataset.Part(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.full(n, 1, np.int32)) for n in (4, 2, 5)
    ]
    vectors, domain = [], []
    for k, part in enumerate(parts):
        for image, label in zip(part.image, part.label, strict=True):
            of_sample = gradient(PARAMS, image, label)
            vectors.append(np.concatenate([of_sample["bias"], of_sample["kernel"].ravel()]))
            domain.append(k)
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors])
    same = np.equal.outer(domain, domain)
    apart = ~np.eye(len(domain), dtype=bool)
    result = training.Probe(APPLY_FN).similarity(PARAMS, parts)
    np.testing.assert_allclose(result.intra, cosine[same & apart].mean(), rtol=1e-5)
    np.testing.assert_allclose(result.inter, cosine[~same].mean(), rtol=1e-5)
    assert result.domains.shape == (3, 3)


def test_agreement_is_counted_by_leaf_over_the_gradients_of_domains(tmp_path):
    run_config, data = config(tmp_path, seed=4, batch_size=2, iterations=1), sources()
    measured = train(run_config, training.Probe(APPLY_FN), every=1)
    key = keys.key_for(run_config.seed, keys.Purpose.SAMPLING)
    batches = feed.domain_batches(
        [parts["train"] for parts in data.domains.values()], key, run_config.optimisation.batch_size
    )
    drawn = batches.draw(batches.like, 0)
    signs = {"bias": [], "kernel": []}
    for images, labels in zip(drawn["image"], drawn["label"], strict=True):
        back = np.asarray(images) * np.array(imagenet.STD) + np.array(imagenet.MEAN)
        pixels = np.rint(255 * back).astype(np.uint8)
        rows = [gradient(PARAMS, image, label) for image, label in zip(pixels, np.asarray(labels), strict=True)]
        for leaf, of_leaf in signs.items():
            of_leaf.append(np.sign(np.mean([row[leaf] for row in rows], axis=0)))
    expected = [np.mean(a == b) for a, b in signs.values()]
    assert measured["layers"] == ["bias", "kernel"]
    np.testing.assert_allclose(measured["agreement"][0], expected)
    assert 0 < expected[1] < 1  # else the count would show nothing


def test_frozen_layers_are_not_measured(tmp_path):
    def features_of(params, constants, images, *, key, train):
        return images.mean(axis=(1, 2)) @ params["first"]

    def logits_of(params, constants, features):
        return jnp.tanh(features) @ params["last"]

    network, rng = functional.Pure(features_of, logits_of, {}), np.random.default_rng(0)
    params = {"first": rng.normal(size=(3, 5)), "last": rng.normal(size=(5, 3))}
    parts = [part["train"] for part in sources().domains.values()]
    found = training.Probe(network, ["first"]).similarity(params, parts)

    def last_only(trained, images, *, key=None, train=False):
        return network({**params, **trained}, images)

    expected = training.Probe(last_only).similarity({"last": params["last"]}, parts)
    np.testing.assert_allclose(found.domains, expected.domains, rtol=1e-5)
    assert not np.allclose(found.domains, training.Probe(network).similarity(params, parts).domains)


class Noting:
    """Copies the parameters instead of measuring."""

    def __init__(self):
        self.params = []

    def similarity(self, params, parts):
        self.params.append(jax.device_get(params))
        return similarity.Similarity(np.zeros((2, 2)), 0.0, 0.0)

    def agreement(self, params, domain_batch, key):
        return [0.0, 0.0]


def test_the_training_is_that_of_the_loop(tmp_path):
    noted, run_config = Noting(), config(tmp_path, iterations=5)
    measured = train(run_config, noted, every=2)
    assert measured["steps"] == [0, 2, 4, 5]
    worlds.train(run_config, (jax.tree.map(jnp.copy, PARAMS), APPLY_FN))
    last = worlds.last_state(run_config)
    for name, leaf in noted.params[-1].items():
        np.testing.assert_array_equal(leaf, last[f"['params']['{name}']"])
        assert not np.array_equal(leaf, noted.params[0][name])


def test_what_is_measured_at_a_step_does_not_depend_on_the_other_steps(tmp_path):
    probe = training.Probe(APPLY_FN)
    often, seldom = (train(config(tmp_path), probe, every=every) for every in (1, 3))
    for name in ("steps", "classes", "intra", "inter", "domains", "agreement"):
        assert [often[name][i] for i in (0, 3, 6)] == seldom[name]
    assert len(set(often["classes"])) > 1


def test_images_of_a_class_are_drawn_once_each_and_all_where_they_are_few():
    label = np.array([0, 0, 1, 1, 1, 1], np.int32)
    image = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    parts = {"one": {"train": dataset.Part(image, label)}, "two": {"train": dataset.Part(image[1:], 1 - label[1:])}}
    data = dataset.MultiDomainDataset("folder", ("a", "b"), parts)
    for seed in range(10):
        drawn, (one, two) = training.draw_class(dataclasses.replace(data), 3, np.random.default_rng(seed))
        rows = ({0, 1}, {2, 3, 4, 5}) if drawn == 0 else ({2, 3, 4, 5}, {1})
        for part, wanted in zip((one, two), rows, strict=True):
            assert (part.label == drawn).all()
            values = part.image[:, 0, 0, 0].tolist()
            assert len(set(values)) == len(values) == min(3, len(wanted))
            assert set(values) <= wanted


def test_a_class_without_a_pair_is_named():
    data = sources()
    training.check_classes(data)
    part = data.domains["google"]["train"]
    few = part.read(np.concatenate([np.flatnonzero(part.label == 2)[:1], np.flatnonzero(part.label != 2)]))
    with pytest.raises(errors.UserError, match=r"google has 1 training images of class 'bright', and a pair needs two"):
        training.check_classes(dataclasses.replace(data, domains={**data.domains, "google": {"train": few}}))


def test_gradients_that_are_not_finite_end_the_run_with_the_step(tmp_path):
    run_config = config(tmp_path, learning_rate=1e38, seed=7)
    with pytest.raises(
        errors.UserError, match=r"the loss of apple, google is nan at step 2; what was written before stays"
    ):
        train(run_config, training.Probe(APPLY_FN), every=2)
