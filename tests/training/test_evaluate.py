import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.data import dataset, feed, sampling
from dg_jax.training import evaluate
from tests.training import worlds


def test_evaluation_counts_every_image_once():
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 3, 11).astype(np.int32)
    params = jax.random.normal(jax.random.key(0), (192, 3))

    def apply_fn(params, images, *, key, train):
        assert key is None
        assert train is False
        return images.reshape(len(images), -1) @ params

    logits = np.asarray(
        apply_fn(params, sampling.network_input(jnp.asarray(images)), key=None, train=False), np.float64
    )
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(11), labels]
    run_evaluation = evaluate.make_evaluate(apply_fn)
    for batch_size in (1, 4, 11, 16):
        result = run_evaluation(params, feed.passes([dataset.Part(images, labels)], batch_size)())
        assert result.accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == labels))
        assert result.loss == pytest.approx(losses.mean(), rel=1e-4)


def test_a_runs_evaluations_are_of_its_own_parts():
    data = worlds.tiny_dataset()
    params, apply_fn = worlds.linear_model()
    params = {name: leaf + jax.random.normal(jax.random.key(1), leaf.shape) for name, leaf in params.items()}
    data.watched["apple again"] = data.domains["apple"]["test"]
    evaluations = evaluate.of_run(apply_fn, data, ("apple", "google"), "windows")

    def correct(*parts):
        whole = dataset.concatenate(list(parts))
        logits = apply_fn(params, sampling.network_input(jnp.asarray(whole.image)))
        return np.mean(np.asarray(logits).argmax(axis=1) == whole.label)

    of = data.domains
    assert evaluations.validation(params).accuracy == pytest.approx(
        correct(of["apple"]["validation"], of["google"]["validation"])
    )
    assert evaluations.test(params).accuracy == pytest.approx(correct(of["windows"]["test"]))
    assert evaluations.watched["apple again"](params).accuracy == pytest.approx(correct(of["apple"]["test"]))
