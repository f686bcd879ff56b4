import dataclasses
import json

import numpy as np
import pytest

from dg_jax import errors
from dg_jax.data import dataset
from dg_jax.training import files, metrics_file, run_folder, seeds
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")

SEEDS = (0, 1, 5)


def configs(tmp_path, **changes):
    settings = {"iterations": 7, "learning_rate": 0.05} | changes
    return [worlds.tiny_config(tmp_path, seed=seed, **settings) for seed in SEEDS]


def train_together(all_configs, data):
    return seeds.train(all_configs, data, [worlds.linear_model() for _ in all_configs])


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "agr_sum"},
        {"strategy": "agr_rand", "gradients": "accumulated"},
        {"strategy": "group_dro", "batches": "single_domain", "average": "ema"},
    ],
)
def test_seeds_side_by_side_give_the_numbers_of_single_runs(tmp_path, changes):
    together = train_together(
        configs(tmp_path / "together", **changes), [worlds.tiny_dataset(seed=seed) for seed in SEEDS]
    )
    losses = set()
    for seed, config, result in zip(SEEDS, configs(tmp_path / "single", **changes), together, strict=True):
        single = worlds.train(config, data=worlds.tiny_dataset(seed=seed))
        for name in ("seed", "selected_step", "val_accuracy", "test_accuracy", "test_accuracy_last", "sources"):
            assert result[name] == single[name], name
        np.testing.assert_allclose(result["test_loss"], single["test_loss"], rtol=1e-4)
        losses.add(result["test_loss"])
        one, other = (
            [json.loads(line) for line in run_folder.folder_of(which).metrics_file.read_text().splitlines()]
            for which in (config, configs(tmp_path / "together", **changes)[SEEDS.index(seed)])
        )
        assert [line["step"] for line in one] == [line["step"] for line in other] == [2, 4, 6, 7]
        for line, same in zip(one, other, strict=True):
            np.testing.assert_allclose(line["losses"], same["losses"], rtol=1e-4)
            np.testing.assert_allclose(line["val_loss"], same["val_loss"], rtol=1e-4)
    assert len(losses) == len(SEEDS)


def test_parts_of_different_sizes_are_a_user_error(tmp_path):
    data = [worlds.tiny_dataset(num_images=12 + seed) for seed in SEEDS]
    with pytest.raises(errors.UserError, match="--vectorize-seeds needs parts equally large for every seed"):
        train_together(configs(tmp_path), data)
    assert not list(tmp_path.iterdir())


def test_images_on_disk_are_a_user_error(tmp_path):
    data = [worlds.tiny_dataset() for _ in SEEDS]
    for own in data:
        for parts in own.domains.values():
            parts["train"] = dataset.StoredPart([], np.arange(12), parts["train"].label, 8)
    with pytest.raises(errors.UserError, match="--vectorize-seeds needs images that fit into memory"):
        train_together(configs(tmp_path), data)
    assert not list(tmp_path.iterdir())


def test_swad_takes_one_run_at_a_time(tmp_path):
    data = [worlds.tiny_dataset(seed=seed) for seed in SEEDS]
    with pytest.raises(errors.UserError, match="--average=swad does not go with --vectorize-seeds; leave one out"):
        train_together(configs(tmp_path, average="swad"), data)
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_names_the_seed(tmp_path):
    broken = [worlds.tiny_dataset(seed=seed) for seed in SEEDS]
    all_configs = configs(tmp_path)
    models = [worlds.linear_model() for _ in SEEDS]
    models[1][0]["bias"] = models[1][0]["bias"] + np.nan
    with pytest.raises(errors.UserError, match="the loss of seed 1 of apple, google is nan at step 1"):
        seeds.train(all_configs, broken, models)
    assert not any(run_folder.folder_of(config).result_file.exists() for config in all_configs)


def watching(data, name="windows at a glance"):
    return dataclasses.replace(
        data, watched={name: data.domains["windows"]["test"], "again": data.domains["apple"]["test"]}
    )


def test_watched_parts_are_noted_at_each_validation_and_choose_nothing(tmp_path):
    plain = train_together(configs(tmp_path / "plain"), [worlds.tiny_dataset(seed=seed) for seed in SEEDS])
    own = configs(tmp_path / "watching")
    results = train_together(own, [watching(worlds.tiny_dataset(seed=seed)) for seed in SEEDS])
    for config, seed, result, other in zip(own, SEEDS, results, plain, strict=True):
        for name in ("selected_step", "val_accuracy", "test_accuracy", "test_accuracy_last", "test_loss"):
            assert result[name] == other[name], name
        noted = metrics_file.watched(run_folder.folder_of(config).metrics_file)
        single = worlds.tiny_config(tmp_path / "single", seed=seed, iterations=7, learning_rate=0.05)
        worlds.train(single, data=watching(worlds.tiny_dataset(seed=seed)))
        assert noted == metrics_file.watched(run_folder.folder_of(single).metrics_file)
        assert [line["step"] for line in noted] == [2, 4, 6, 7]
        assert all(line["watched"].keys() == {"windows at a glance", "again"} for line in noted)
        # The target's test part is among them, and its accuracies are in the result too.
        by_step = {line["step"]: line["watched"]["windows at a glance"] for line in noted}
        assert by_step[7] == result["test_accuracy_last"]
        assert by_step[result["selected_step"]] == result["test_accuracy"]
    with pytest.raises(files.DamagedError, match=r"metrics\.jsonl is damaged \(nothing was watched\); remove"):
        metrics_file.watched(run_folder.folder_of(configs(tmp_path / "plain")[0]).metrics_file)


def test_groups_share_programs_unless_a_setting_differs(tmp_path, monkeypatch):
    compiled, made = {}, []
    make_trainer = seeds.step.make_trainer
    monkeypatch.setattr(seeds.step, "make_trainer", lambda *args: made.append(args) or make_trainer(*args))
    model = worlds.linear_model()

    def train(name, compiled, shift=0, **changes):
        own = configs(tmp_path / name, **changes)
        data = [worlds.tiny_dataset(seed=seed + shift) for seed in SEEDS]
        results = seeds.train(own, data, [model] * len(own), compiled)
        return [(result["test_loss"], result["val_accuracy"]) for result in results]

    first = train("first", compiled)
    train("other batches", compiled, batch_size=3)
    assert len(made) == 2
    faster = train("faster", compiled, learning_rate=0.5, weight_decay=0.1)
    assert len(made) == 2
    assert faster == train("faster alone", None, learning_rate=0.5, weight_decay=0.1) != first
    del made[2:]
    shared = train("shared", compiled, shift=10, target="apple")
    assert len(made) == 2
    assert shared == train("alone", None, shift=10, target="apple") != first
