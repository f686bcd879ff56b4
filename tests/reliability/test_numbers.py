"""Training on numbers that no loss function should give: a right result or a clear error, and no silent NaN."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import prepared
from dg_jax.training import run_folder, seeds
from tests.data import made_trees
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")

COMBINERS = ("deep_all", "agr_sum", "agr_rand", "pcgrad", "group_dro")


@pytest.fixture
def gradients(monkeypatch):
    """Gives ``erm`` made-up gradients: ``gradients(f)``, with ``f(leaf, step, labels)`` of shape ``[2, *shape]``.

    ``labels`` has one label for each of the two sources, which have no others. So the data say what the gradients
    are, and runs with other numbers share one program, which is compiled once.
    """

    def use(rows):
        def erm(apply_fn):
            def objective(params, domain_batch, *, key, step):
                labels = domain_batch["label"][:, 0]
                return jnp.ones(2), jax.tree.map(lambda leaf: rows(leaf, step, labels), params)

            return objective

        monkeypatch.setattr("dg_jax.objectives.erm", erm)

    return use


def labelled(first, second):
    """A dataset whose two sources each have one of these labels to train on."""
    data = worlds.tiny_dataset()
    for name, label in (("apple", first), ("google", second)):
        part = data.domains[name]["train"]
        data.domains[name]["train"] = part._replace(label=np.full_like(part.label, label))
    return data


VALUES = (0.0, 1.0, 1e-42, -1e-42, 1e15, -1e15)
BREAKING = (np.nan, np.inf, -np.inf, 1e30)


def pair(leaf, step, labels):
    """Gives each domain a gradient with the value of its label in all components."""
    return jnp.stack([jnp.full(leaf.shape, jnp.array(VALUES)[label]) for label in labels])


def only_at(leaf, step, labels):
    """Ones, except at one step, where the second domain breaks at index 0: the labels say at which step and how."""
    ones = jnp.ones((2, *leaf.shape))
    return jnp.where(step == labels[0], ones.at[1, 0].set(jnp.array(BREAKING)[labels[1]]), ones)


def is_strict_json(path):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(path.read_text(), parse_constant=refuse)
    return True


# Step 5 is the last: no loss follows. After step 3 a validation follows before the next loss.
@pytest.mark.parametrize(("value", "step"), [(np.nan, 5), (np.inf, 3), (-np.inf, 5), (1e30, 5)])
def test_a_gradient_that_breaks_the_state_is_an_error_and_the_checkpoint_stays_good(value, step, gradients, tmp_path):
    gradients(only_at)
    config = worlds.tiny_config(tmp_path, combiner="deep_all", iterations=6, val_every=4)
    with pytest.raises(errors.UserError, match=f"not finite after step {step + 1}, as its gradients"):
        worlds.train(config, data=labelled(step, BREAKING.index(value)))
    folder = run_folder.folder_of(config)
    assert not folder.result_file.exists()
    kept = [path.name for path in (folder.checkpoints / "last").glob("*")]
    assert kept == (["4"] if step == 5 else [])
    if kept:
        state = worlds.last_state(config)
        assert all(np.isfinite(leaf).all() for leaf in state.values())


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("rows", [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1e-42, -1e-42), (1e15, -1e15)], ids=str)
def test_zero_identical_subnormal_and_large_gradients_end_in_finite_numbers(rows, combiner, gradients, tmp_path):
    gradients(pair)
    config = worlds.tiny_config(tmp_path, strategy="agr_sum", combiner=combiner, iterations=2)
    result = worlds.train(config, data=labelled(*map(VALUES.index, rows)))
    assert np.isfinite(result["test_loss"]) and is_strict_json(run_folder.folder_of(config).result_file)
    assert all(np.isfinite(leaf).all() for leaf in worlds.last_state(config).values())


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("strategy", ["agr_sum", "agr_rand", "pcgrad", "group_dro", "mixup"])
def test_one_source_and_sixteen_with_batches_of_one(n, strategy, tmp_path):
    data = worlds.tiny_dataset(num_images=3)
    sources = [f"source{i}" for i in range(n)]
    domains = {name: data.domains[("apple", "google")[i % 2]] for i, name in enumerate(sources)}
    data.domains.clear()
    data.domains.update(domains, windows=worlds.tiny_dataset().domains["windows"])
    config = worlds.tiny_config(
        tmp_path, strategy=strategy, domains=(*sources, "windows"), batch_size=1, iterations=4, learning_rate=0.01
    )
    result = worlds.train(config, data=data)
    assert len(result["sources"]) == n and np.isfinite(result["test_loss"])
    last = json.loads(run_folder.folder_of(config).metrics_file.read_text().splitlines()[-1])
    assert len(last["losses"]) == n and np.isfinite(last["losses"]).all()


def overflowing_on_the_target():
    """A network whose logits are infinite on the target, windows, where blue is the brightest channel."""

    def apply_fn(params, images, *, key=None, train=False):
        means = images.mean(axis=(1, 2))
        is_target = means[:, 2] > means[:, :2].max(axis=1) + 1
        return jnp.where(is_target[:, None], jnp.array([jnp.inf, 0.0, 0.0]), means @ params["kernel"])

    return {"kernel": jnp.zeros((3, 3))}, apply_fn


def test_a_test_loss_that_is_not_finite_is_no_result(tmp_path):
    data = worlds.tiny_dataset()
    data.domains["windows"]["test"].image[..., 2] = 255
    config = worlds.tiny_config(tmp_path)
    with pytest.raises(errors.UserError, match="the test loss of windows with the selected parameters is "):
        worlds.train(config, overflowing_on_the_target(), data)
    assert not run_folder.folder_of(config).result_file.exists()


@pytest.mark.parametrize("step", [1, 5])
def test_seeds_side_by_side_are_watched_as_well(step, gradients, tmp_path):
    gradients(only_at)
    configs = [worlds.tiny_config(tmp_path, combiner="deep_all", seed=seed) for seed in (0, 1)]
    with pytest.raises(errors.UserError, match=f"not finite after step {step + 1}"):
        seeds.train(configs, [labelled(step, BREAKING.index(np.nan))] * 2, [worlds.linear_model()] * 2)
    assert not list(tmp_path.glob("**/result.json"))


def folder_dataset(tmp_path, counts):
    """A dataset with the given number of pictures of class x in each domain."""
    for domain, count in counts.items():
        made_trees.fill(tmp_path / "raw", (domain,), ("x",), per_class=count, size=9)
    parts = dict.fromkeys(counts, ("train", "validation")) | {"target": ("test",)}
    return prepared.load(
        "folder", parts, image_size=8, split_seed=0, data_dir=tmp_path / "raw", prepared_dir=tmp_path / "kept"
    )


def test_a_source_with_one_image_trains(tmp_path):
    data = folder_dataset(tmp_path, {"one": 1, "more": 10, "target": 10})
    assert len(data.domains["one"]["train"].label) == 1 and not len(data.domains["one"]["validation"].label)
    config = worlds.tiny_config(tmp_path, domains=("one", "more", "target"), target="target", batch_size=1)
    assert np.isfinite(worlds.train(config, data=data)["test_loss"])


@pytest.mark.parametrize(("counts", "part"), [({"a": 5, "target": 10}, "validation"), ({"a": 9, "target": 1}, "test")])
def test_no_image_to_validate_or_test_on_is_said(counts, part, tmp_path):
    with pytest.raises(errors.UserError, match=f"folder: no picture is in the {part} part of (a|target);"):
        folder_dataset(tmp_path, counts)


def test_a_class_that_one_source_lacks_trains(tmp_path):
    data = worlds.tiny_dataset()
    for name, part in data.domains["apple"].items():
        data.domains["apple"][name] = part._replace(label=np.minimum(part.label, 1))
    assert np.isfinite(worlds.train(worlds.tiny_config(tmp_path), data=data)["test_loss"])
