"""A trained network after its run: loaded, used on pictures, exported."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import dg_jax
from dg_jax import errors, models, predict, run
from dg_jax.config import changed
from dg_jax.data import sampling
from dg_jax.models import weights
from dg_jax.training import run_folder
from tests.data import made_trees
from tests.training import worlds


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run whose pictures were deleted, its test part, and copies of the pictures of its target."""
    top = tmp_path_factory.mktemp("trained")
    made_trees.fill(top / "raw", ("a", "b", "x"), ("cat", "dog", "hen"), per_class=10, size=40)
    flags = ["--dataset=folder", f"--data-dir={top / 'raw'}", f"--prepared-dir={top / 'kept'}", "--target=x"]
    flags += [
        "--iterations=6",
        "--model=small_cnn",
        "--val-every=3",
        "--batch-size=4",
        "--image-size=16",
        f"--results-dir={top / 'results'}",
    ]
    assert run.main(flags) == 0
    shutil.copytree(top / "raw" / "x", top / "x")
    config = run.parse(flags)
    test = run.load(config).domains["x"]["test"]
    shutil.rmtree(top / "raw")
    shutil.rmtree(top / "kept")
    return run_folder.folder_of(config).path, test, top / "x"


@pytest.fixture
def command(capsys):
    """Calls the command line: ``command(*flags) -> (exit code, stdout, stderr)``."""

    def call(*flags):
        code = predict.main([str(flag) for flag in flags])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_network_does_on_the_test_pictures_what_the_result_says(trained, monkeypatch, tmp_path):
    folder, test, _ = trained
    monkeypatch.chdir(tmp_path)
    network = dg_jax.load(os.path.relpath(folder))
    assert network.classes == ("cat", "dog", "hen") and network.image_size == 16
    assert network.config["strategy"] == "agr_sum"
    logits = np.asarray(network.apply(test.image))
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (test.label, logits.argmax(axis=1)), 1)
    assert confusion.tolist() == network.result["confusion"]
    assert np.trace(confusion) / len(test.label) == network.result["test_accuracy"]
    assert network.result["test_images"] == len(test.label)
    by_class = network.result["test_accuracy_by_class"]
    assert list(by_class) == ["cat", "dog", "hen"]
    np.testing.assert_allclose(list(by_class.values()), np.diagonal(confusion) / confusion.sum(axis=1))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 16, 16, 3), np.float32), ((2, 8, 8, 3), np.uint8), ((16, 16, 3), np.uint8)]
)
def test_examples_of_another_kind_are_refused(shape, dtype, trained):
    with pytest.raises(ValueError, match=r"give examples as the run was trained on, uint8 \[n, 16, 16, 3\], not"):
        dg_jax.load(trained[0]).apply(np.zeros(shape, dtype))


def test_pictures_are_read_as_those_of_the_run(trained, command):
    folder, test, pictures = trained
    code, out, err = command(folder, pictures, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [one["picture"] for one in found] == sorted(str(path) for path in pictures.rglob("*.jpg"))
    expected = np.asarray(jax.nn.softmax(dg_jax.load(folder).apply(test.image)))
    said = np.array([[one["probabilities"][name] for name in ("cat", "dog", "hen")] for one in found])
    for row in expected:  # all test pictures are among them
        assert np.abs(said - row).max(axis=1).min() < 1e-5
    for one in found:
        name, share = max(one["probabilities"].items(), key=lambda pair: pair[1])
        assert (one["class"], one["probability"]) == (name, share)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_table_and_csv_and_damaged_files(trained, command, tmp_path, monkeypatch):
    folder, _, pictures = trained
    one = next(pictures.rglob("*.jpg"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    (tmp_path / "__MACOSX").mkdir()
    for hidden in ("__MACOSX/one.jpg", "._one.jpg"):
        (tmp_path / hidden).write_bytes(b"what macOS leaves")
    shutil.copy(one, tmp_path / "[red]\n.jpg")
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = command(folder, tmp_path, tmp_path / "missing.png")
    assert code == 1
    assert "[red]\\n.jpg" in out and "%" in out
    assert err == (
        f"error: 2 failed, the rest is done: {tmp_path}/broken.png: not a picture; "
        f"{tmp_path}/missing.png: there is no such file\n"
    )
    code, out, err = command(folder, one, tmp_path / "broken.png", "--csv")
    assert code == 1 and "1 failed" in err
    [row] = csv.DictReader(io.StringIO(out))
    assert row["picture"] == str(one) and row["class"] in ("cat", "dog", "hen") and 0 < float(row["probability"]) <= 1
    code, out, _ = command(folder, tmp_path / "broken.png", "--json")
    assert (code, json.loads(out)) == (1, [])


def test_many_pictures_go_through_one_program(trained, command, monkeypatch):
    folder, _, pictures = trained
    monkeypatch.setattr(predict, "_AT_ONCE", 4)
    shapes = []
    monkeypatch.setattr(
        predict.TrainedNetwork,
        "apply",
        lambda self, images: shapes.append(images.shape) or np.zeros((len(images), 3)),
    )
    code, out, _ = command(folder, *sorted(pictures.rglob("*.jpg"))[:10], "--json")
    assert code == 0 and len(json.loads(out)) == 10 and shapes == [(4, 16, 16, 3)] * 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name pictures or a folder of them, or --export=FILE"),
        (["x.png", "--json", "--csv"], "--json and --csv exclude each other"),
        (["EMPTY"], "holds no pictures (.bmp, .gif"),
        (["--export=/no/such/folder/model.safetensors"], "cannot be written: No such file or directory"),
        (["--frobnicate"], "unknown flag --frobnicate"),
    ],
)
def test_bad_flags_are_one_line(flags, message, trained, command, tmp_path):
    code, out, err = command(trained[0], *(tmp_path if flag == "EMPTY" else flag for flag in flags))
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.parametrize("model", ["small_cnn", "resnet18"])
def test_exported_weights_are_taken_again_by_weights(model, tmp_path, quick_steps):
    source = tmp_path / "statistics.safetensors"
    rng = np.random.default_rng(0)
    config = worlds.tiny_config(tmp_path, model=model, image_size=8, val_every=2, iterations=2)
    if model == "resnet18":
        params, function = models.create(model, 3, jax.random.key(0))
        statistics = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32), function.constants)
        tensors = models.named(jax.device_get(params), statistics)
        weights.write(source, {name: np.asarray(array) for name, array in tensors.items()}, {"model": model})
        config = changed(config, weights=source)
    data = worlds.tiny_dataset()
    run.run(config, data, quiet=True)
    source.unlink(missing_ok=True)
    network = dg_jax.load(run_folder.folder_of(config).path)
    if model == "resnet18":
        found = models.named(network.apply_fn.constants)
        np.testing.assert_array_equal(found["bn1.mean"], models.named(statistics)["bn1.mean"])
    target = tmp_path / "model.safetensors"
    assert predict.main([str(run_folder.folder_of(config).path), f"--export={target}"]) == 0
    again, function = models.create(model, 3, jax.random.key(1), target)
    names = models.named(network.params, network.apply_fn.constants)
    for name, array in models.named(again, function.constants).items():
        if not name.startswith("dense"):
            np.testing.assert_array_equal(array, names[name], err_msg=name)
    images = sampling.network_input(data.domains["windows"]["test"].image)
    assert function(again, images).shape == (7, 3)
    for settings in ({"target": "apple"}, {"seed": 1}):
        with pytest.raises(errors.UserError, match="is pretrained on"):
            run.check_unseen(changed(config, weights=target, **settings))


def test_frozen_layers_keep_their_weights_through_training_resuming_and_export(tmp_path, quick_steps):
    source = tmp_path / "some.safetensors"
    params, _ = models.create("small_cnn", 3, jax.random.key(7))
    given = {name: np.asarray(array) for name, array in models.named(params).items()}
    weights.write(source, given, {"model": "small_cnn"})
    settings = {"model": "small_cnn", "weights": source, "frozen_layers": ("conv1", "conv3")}
    tested = {}
    for name, iterations in (("whole", (4,)), ("resumed", (2, 4)), ("ema", (4,))):
        settings |= {"average": "ema"} if name == "ema" else {}
        for number, steps in enumerate(iterations):
            config = worlds.tiny_config(tmp_path / name, iterations=steps, **settings)
            config = changed(config, resume=number > 0)
            run.run(config, worlds.tiny_dataset(), quiet=True)
        moments = [path for path in worlds.last_state(config) if "mu" in path]
        assert moments and not any("conv1" in path or "conv3" in path for path in moments)
        network = dg_jax.load(run_folder.folder_of(config).path)
        tested[name] = models.named(network.params)
    for name, array in tested["whole"].items():
        np.testing.assert_array_equal(array, tested["resumed"][name], err_msg=name)
        is_kept = np.array_equal(array, given[name])
        assert is_kept == name.startswith(("conv1", "conv3")), name
    exported = tmp_path / "model.safetensors"
    assert predict.main([str(run_folder.folder_of(config).path), f"--export={exported}"]) == 0
    tensors, _ = weights.read(exported)
    assert tensors.keys() == given.keys()


def test_a_folder_without_a_finished_run_is_named(tmp_path, trained):
    with pytest.raises(errors.UserError, match=r"is not the folder of a run: there is no result.json"):
        dg_jax.load(tmp_path)
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(errors.UserError, match=r"this run is not finished; --resume goes on with it"):
        dg_jax.load(str(tmp_path / "run"))
    shutil.copy(trained[0] / "result.json", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "best")
    with pytest.raises(errors.UserError, match="the selected network is not there"):
        dg_jax.load(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for change, message in ({"seeds_side_by_side": 3}, "--vectorize-seeds, which keeps no network"), ({}, None):
        result = json.loads((trained[0] / "result.json").read_text())
        (tmp_path / "run" / "result.json").write_text(json.dumps(result | change))
        if message:
            with pytest.raises(errors.UserError, match=message):
                dg_jax.load(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"model": "own"}))
    with pytest.raises(errors.UserError, match="its network is not one of dg_jax; give its apply_fn and params"):
        dg_jax.load(tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"classes": 3}))
    with pytest.raises(errors.UserError, match=r"config.json is damaged \(missing or wrong: classes; another"):
        dg_jax.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["load", "fit"])
def test_without_the_extra_train_it_is_one_line(name):
    script = (
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'flax' else find(name, *rest)\n"
        f"import dg_jax\nfrom dg_jax import errors\n"
        f"try:\n    dg_jax.{name}\nexcept errors.UserError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f'dg_jax.{name}: not installed: flax; run: pip install -e ".[train]"\n'


def test_pictures_of_any_size_and_kind(trained, command, tmp_path):
    for mode, size in (("L", (9, 30)), ("RGBA", (40, 40)), ("CMYK", (64, 5))):
        Image.new(mode, size).save(tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}")
    code, out, err = command(trained[0], tmp_path, "--json")
    assert (code, err, len(json.loads(out))) == (0, "", 3)
