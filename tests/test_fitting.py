"""The caller's own networks on arrays: Linen, Equinox and plain JAX."""

import threading

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

import dg_jax
from dg_jax import errors
from dg_jax.training import drive

SHAPE = (5,)


def domains(n=60, names="abc"):
    """Domains of vectors in which the class raises one of the first three coordinates."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    return {name: (rng.normal(size=(n, 5)) + 4 * np.eye(3, 5)[labels], labels) for name in names}


class Dense(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool = False):
        return linen.Dense(3)(x)


def linen_network():
    module = Dense()
    return module.apply, module.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))


def equinox_network():
    module = equinox.nn.Linear(SHAPE[0], 3, key=jax.random.key(0))
    params, rest = equinox.partition(module, equinox.is_inexact_array)
    return lambda params, x: jax.vmap(equinox.combine(params, rest))(x), params


def plain_network():
    return lambda params, x: x @ params["kernel"] + params["bias"], {"kernel": jnp.zeros((5, 3)), "bias": np.zeros(3)}


NETWORKS = {"linen": linen_network, "equinox": equinox_network, "plain": plain_network}
SETTINGS = {"target": "c", "iterations": 30, "batch_size": 8, "val_every": 10, "learning_rate": 0.1, "quiet": True}


@pytest.fixture
def fit(tmp_path):
    """Trains with the settings above: ``fit(apply_fn, params, domains, **changes)``."""
    return lambda *given, **changes: dg_jax.fit(*given, **({"results_dir": str(tmp_path)} | SETTINGS | changes))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_of_any_library_learns_and_is_there_again(kind, fit, tmp_path):
    apply_fn, params = NETWORKS[kind]()
    before = jax.tree.map(np.array, params)
    network = fit(apply_fn, params, domains(), name=kind)
    assert jax.tree.all(jax.tree.map(np.array_equal, before, params))  # not donated
    assert network.result["test_accuracy"] > 0.6 and network.classes == ("0", "1", "2") and network.image_size is None
    folder = tmp_path / kind / "c" / "agr_sum" / "seed-0"
    assert {path.name for path in folder.iterdir()} >= {"result.json", "config.json", "metrics.jsonl", "checkpoints"}
    again = dg_jax.load(folder, apply_fn, params)
    vectors = domains()["c"][0].astype(np.float32)
    np.testing.assert_array_equal(network.apply(vectors), again.apply(vectors))
    with pytest.raises(ValueError, match=r"float32 \[n, 5\], not float32 \[60, 4\]"):
        network.apply(vectors[:, :4])
    with pytest.raises(errors.UserError, match="params: give parameters of the structure"):
        dg_jax.load(folder, apply_fn)


def test_hooks_see_the_training(fit):
    seen = []

    class Note(drive.Hook):
        every = 10

        def on_pause(self, state, metrics):
            seen.append(int(state.step))

        def on_validation(self, values):
            seen.append(values["val_loss"])

    network = fit(*plain_network(), domains(names="ac"), strategy="DeepAll", hooks=[Note()])
    assert seen[::2] == [10, 20, 30] and seen[1] > seen[3] > seen[5]
    assert network.result["sources"] == ["a"] and network.config["strategy"] == "deep_all"


def test_a_finished_run_is_taken_and_another_is_refused(fit, capsys):
    apply_fn, params = plain_network()
    one = fit(apply_fn, params, domains())
    assert fit(apply_fn, params, domains()).result == one.result
    changed = domains()
    changed["a"][0][0] += 1
    with pytest.raises(errors.UserError, match="examples of a: not the same"):
        fit(apply_fn, params, changed)
    with pytest.raises(errors.UserError, match="initial parameters: not the same"):
        fit(apply_fn, jax.tree.map(lambda leaf: leaf + 1, params), domains())
    with pytest.raises(errors.UserError, match="--batch-size is 9"):
        fit(apply_fn, params, domains(), batch_size=9)
    more = fit(apply_fn, params, domains(), iterations=40, resume=True)
    straight = fit(apply_fn, params, domains(), iterations=40, overwrite=True)
    assert (more.result["iterations"], more.result["test_loss"]) == (40, straight.result["test_loss"])


def test_in_another_thread(fit):
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(*plain_network(), domains(), strategy="pcgrad")))
    thread.start()
    thread.join()
    assert found[0].result["strategy"] == "pcgrad"


def test_images_are_normalised_changed_and_have_a_size(fit):
    rng = np.random.default_rng(0)
    pictures = {name: (rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), np.arange(40) % 2) for name in "ab"}

    def apply_fn(params, images, *, key, train):
        assert images.shape[1:] == (8, 8, 3) and images.dtype == jnp.float32
        return images.mean(axis=(1, 2)) @ params

    settings = {"target": "b", "strategy": "deep_all", "augment": "standard", "classes": ["cat", "dog"]}
    network = fit(apply_fn, jnp.zeros((3, 2)), pictures, **settings)
    assert network.image_size == 8 and network.config["image_size"] == 8 and network.classes == ("cat", "dog")
    assert network.apply(pictures["a"][0][:3]).shape == (3, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "d"}, "target='d' is not a domain; there are: a, b, c"),
        ({"strategy": "agr"}, "unknown strategy 'agr'"),
        ({"combiner": "pcgard"}, "did you mean pcgrad"),
        ({"lr": 0.1}, "unknown setting 'lr'"),
        ({"iterations": 0}, "--iterations=0: give a whole number"),
        (
            {"batch_size": 50},
            "--batch-size=50 is larger than the training part of a, 42 images; give a smaller one, or --s",
        ),
        ({"model": "alexnet"}, "model has no effect here"),
        ({"hidden_layers": 2}, "hidden_layers has no effect here"),
        ({"augment": "standard"}, "augment='standard' is for uint8 images"),
        ({"name": "a/b"}, "name 'a/b': give text that can be the name of a folder"),
        ({"name": "pacs"}, "name='pacs' is a dataset of dg_jax"),
        ({"classes": ["one", "two"]}, "classes: 2 names, but there is a label 2"),
        ({"strategy": "mldg", "combiner": "agr_sum"}, "--combiner=agr_sum would change nothing"),
    ],
)
def test_a_wrong_setting_is_named(changes, message, fit, tmp_path):
    with pytest.raises(errors.UserError, match=message):
        fit(*plain_network(), domains(), **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("apply_fn", "params", "message"),
    [
        (lambda params, x: x @ params, {}, "params: there are no arrays in it"),
        (
            lambda params, x: x @ params["w"],
            {"w": jnp.zeros((5, 3)), "n": 3},
            r"params: \['n'\] is no float array but int",
        ),
        (lambda params, x: x @ params, jnp.zeros((5, 3), int), "params: params is no float array but int32"),
        (lambda params, x: x.sum() * params, jnp.zeros(3), "it has to return logits"),
        (lambda params, x: x @ params, jnp.zeros((5, 2)), "apply_fn returns 2 logits, but there are 3 classes"),
        (lambda params, x: (x @ params, 1), jnp.zeros((5, 3)), "it has to return logits"),
    ],
)
def test_a_wrong_network_is_named(apply_fn, params, message, fit):
    with pytest.raises(errors.UserError, match=message):
        fit(apply_fn, params, domains())


def test_logits_beyond_the_labels_are_classes_too(fit):
    network = fit(lambda params, x: x @ params, jnp.zeros((5, 4)), domains())
    assert network.classes == ("0", "1", "2", "3") and network.result["test_accuracy_by_class"]["3"] is None
