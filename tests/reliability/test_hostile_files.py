"""Malicious files: each is read, or ends in one clear line that names it.

Each takes less than 10 seconds of CPU time, and less than 1 GiB of memory beyond what the process had. Linux keeps
the peak of a process's memory (``VmHWM``) and can reset it to the present value.
"""

import contextlib
import json
import os
import pathlib
import time

import numpy as np
import pytest
from flax import nnx

from dg_jax import errors, models
from dg_jax.data import builder, picture, prepared, split_files
from dg_jax.models import torch_weights, weights
from dg_jax.training import metrics_file, run_folder, run_result
from experiments.gradient_similarity import stored
from tests.data import made_trees
from tests.experiments import made_runs
from tests.reliability import hostile_pictures, hostile_weights
from tests.training import worlds

MOST_SECONDS, MOST_BYTES = 10, 2**30


def peak() -> int:
    """The peak memory of this process since the last reset, in bytes."""
    [line] = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return 1024 * int(line.split()[1])


@contextlib.contextmanager
def within_limits():
    can_measure = os.access("/proc/self/clear_refs", os.W_OK)
    if can_measure:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        before = peak()
    start = time.process_time()
    yield
    assert time.process_time() - start < MOST_SECONDS
    assert not can_measure or peak() - before < MOST_BYTES


def check_line(message: str, path: pathlib.Path) -> None:
    assert message.isprintable() and len(message) < 5000
    assert path.name in message


def refused(path: pathlib.Path, read) -> str:
    """Calls ``read``, which must end in a ``UserError`` of one line that names the file; returns the line."""
    with within_limits(), pytest.raises(errors.UserError) as caught:
        read()
    check_line(str(caught.value), path)
    return str(caught.value)


@pytest.mark.parametrize("name", hostile_pictures.PICTURES)
def test_pictures(name, tmp_path, recwarn, capfd):
    make, is_read = hostile_pictures.PICTURES[name]
    made_trees.fill(tmp_path / "raw", ("a",), ("x",), per_class=2, size=9)
    path = tmp_path / "raw/a/x" / name
    path.write_bytes(make())

    def load():
        return prepared.load(
            "folder", {"a": ("train",)}, image_size=8, split_seed=0, data_dir=tmp_path / "raw", prepared_dir=tmp_path
        )

    if is_read:
        with within_limits():
            data = load()
        assert data.left_out == () and data.domains["a"]["train"].image.shape == (2, 8, 8, 3)
    else:
        assert "damaged files, 1 in number" in refused(path, load)
    assert not [warning for warning in recwarn if "PIL" in str(warning.filename)]
    assert "PIL" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["pipe", "folder", "link-out-of-the-tree", "300-megabytes"])
def test_files_that_are_not_pictures(kind, tmp_path):
    path = tmp_path / "hostile.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link-out-of-the-tree":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(300 * 2**20)
    with within_limits(), pytest.raises(picture.DamagedError):
        picture.encode(path, 227)


SMALL_CNN = nnx.eval_shape(lambda: models.MODELS["small_cnn"](8, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("name", hostile_weights.SAFETENSORS)
def test_safetensors(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(hostile_weights.SAFETENSORS[name]())
    refused(path, lambda: weights.load(path, "small_cnn", SMALL_CNN, "dense"))
    assert not pathlib.Path("ran").exists()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_safetensors_of_the_right_shapes_that_are_not_finite(value, tmp_path):
    path = tmp_path / "hostile.safetensors"
    arrays = {
        name: np.full(variable.shape, value, np.float32) for name, variable in weights.named_arrays(SMALL_CNN).items()
    }
    weights.write(path, arrays, {})
    assert "NaN or infinite" in refused(path, lambda: weights.load(path, "small_cnn", SMALL_CNN, "dense"))


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_of_twenty_gigabytes_that_take_no_space(ending, tmp_path, capsys):
    path = tmp_path / f"hostile{ending}"
    header = json.dumps({"a": {"dtype": "F32", "shape": [5 * 2**30], "data_offsets": [0, 20 * 2**30]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 20 * 2**30)
    with within_limits():
        assert torch_weights.main(None, [str(path), str(tmp_path / "out")]) == 2
    check_line(capsys.readouterr().err.removesuffix("\n"), path)


@pytest.mark.parametrize("name", hostile_weights.PTH)
def test_pickles_of_pytorch(name, tmp_path, capfd):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")
    from tests.models import torch_networks

    converter = torch_networks.load_converter("torchvision_alexnet")
    folder = tmp_path / "in/side"
    folder.mkdir(parents=True)
    path = folder / "hostile.pth"
    path.write_bytes(hostile_weights.PTH[name](torch, tmp_path / "ran"))
    with within_limits():
        assert torch_weights.main(converter.convert, [str(path), str(folder / "out.safetensors")]) == 2
    check_line(capfd.readouterr().err.removesuffix("\n"), path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", folder, path]


NESTED = "[" * 200_000
TEXTS = {
    "empty": b"",
    "binary": bytes(range(256)) * 100,
    "utf-16": '{"step": 2}'.encode("utf-16"),
    "number": b"3\n",
    "list": b"[1, 2]\n",
    "null": b"null\n",
    "nested": NESTED.encode() + b"\n",
    "nested-objects": b'{"a":' * 200_000 + b"\n",
    "five-thousand-digits": b'{"step": ' + b"9" * 5000 + b', "iterations": ' + b"9" * 5000 + b"}\n",
    "escapes": b'"\x1b[2J\x07"\n',
    "nan": b'{"step": NaN, "iterations": Infinity}\n',
    "html": b"<html><body>quota</body></html>\n",
}
WRONG_VALUES = {
    "test_accuracy": ["0.5", None, True, [0.5], 1.5, -0.1, 1e999, float("nan"), 10**400, {}],
    "val_accuracy": [float("nan"), 2],
    "iterations": ["6", 6.5, True, -6, 10**400, None],
    "selected_step": [None, "\x1b[2J"],
    "target": ["\x1b]0;owned\x07", 3, "apple", "\ud800", "../../etc"],
    "sources": [["apple", "\n"], "apple", None],
    "strategy": ["no such strategy", None],
    "seed": [True, "0", 7],
}


@pytest.fixture
def finished(tmp_path):
    """A finished run, with the files that :func:`run_result.finished` reads."""
    config = worlds.tiny_config(tmp_path)
    folder = run_folder.folder_of(config)
    with run_folder.open_folder(config, folder, {}, ()):
        pass
    folder.write_result(made_runs.made_result(config, 0.5, 0.5))
    folder.append_metrics({"step": 2, "val_accuracy": 0.5})
    assert run_result.finished(config, folder, dict)
    return config, folder


@pytest.mark.parametrize("file", ["result.json", "config.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", TEXTS)
def test_damaged_files_of_a_run(content, file, finished, capsys):
    config, folder = finished
    path = folder.path / file
    path.write_bytes(TEXTS[content])
    if file != "metrics.jsonl":
        refused(path, lambda: run_result.finished(config, folder, dict))
    else:
        if TEXTS[content]:
            refused(path, lambda: metrics_file.validations(path))
        refused(path, lambda: metrics_file.watched(folder.metrics_file))
        with within_limits():
            metrics_file.keep(path, lambda step: True)
        assert path.read_text() == ""
        warning = capsys.readouterr().err
        count = TEXTS[content].count(b"\n")
        assert warning == (f"warning: {path}: {count} damaged lines are left out\n" if count else "")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG_VALUES.items() for value in values],
    ids=lambda v: repr(v)[:20],
)
def test_a_result_with_a_value_that_is_not_ours(name, value, finished):
    config, folder = finished
    result = json.loads(folder.result_file.read_text())
    folder.result_file.write_text(json.dumps({**result, name: value}))
    refused(folder.result_file, lambda: run_result.finished(config, folder, dict))


@pytest.mark.parametrize("value", ["\x1b[2J" * 10_000, [[[[[[[[0]]]]]]]] * 1000, {"a": 10**400}, None])
def test_a_configuration_with_a_value_that_is_not_ours(value, finished):
    config, folder = finished
    stored = json.loads(folder.config_file.read_text())
    folder.config_file.write_text(json.dumps({**stored, "learning_rate": value}))
    line = refused(folder.path, lambda: run_result.finished(config, folder, dict))
    assert "--learning-rate is 0.001, but the run in" in line


def test_a_configuration_with_half_a_letter(finished):
    config, folder = finished
    stored = json.loads(folder.config_file.read_text())
    folder.config_file.write_text(json.dumps({**stored, "learning_rate": "\ud800"}))
    refused(folder.config_file, lambda: run_result.finished(config, folder, dict))


@pytest.mark.parametrize("file", ["result.json", "config.json", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "ten-gigabytes"])
def test_files_that_are_not_those_of_a_run(kind, file, finished):
    config, folder = finished
    path = folder.path / file
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as sparse:
            sparse.truncate(10 * 2**30)
    if file == "metrics.jsonl":
        refused(path, lambda: metrics_file.keep(path, lambda step: True))
        refused(path, lambda: metrics_file.validations(path))
        refused(path, lambda: metrics_file.watched(folder.metrics_file))
    else:
        refused(path, lambda: run_result.finished(config, folder, dict))


MEASURED = {
    "settings": {"a": 1},
    "inputs": {},
    "layers": ["conv"],
    "steps": [0, 2],
    "intra": [0.5, 0.5],
    "inter": [0.5, 0.5],
    "domains": [[[1.0]], [[1.0]]],
    "agreement": [[0.5], [0.5]],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settings", [1]),
        ("layers", [3]),
        ("steps", ["\x1b"]),
        ("steps", [10**400, 2]),
        ("intra", [0.5, None]),
        ("intra", [0.5]),
        ("inter", NESTED),
        ("domains", [[1.0], [[1.0]]]),
        ("agreement", [[0.5, 0.5], [0.5, 0.5]]),
    ],
    ids=lambda v: repr(v)[:20],
)
def test_measurements_that_are_not_ours(name, value, tmp_path, capsys):
    path = tmp_path / "seed-0.json"
    path.write_text(json.dumps(MEASURED))
    assert stored.of_run(path, {"a": 1}, dict) == MEASURED
    path.write_text(json.dumps({**MEASURED, name: value}))
    with within_limits():
        assert stored.of_run(path, {"a": 1}, dict) is None
    check_line(capsys.readouterr().err.removesuffix("\n"), path)


INDEX = builder.Index(["dog"], {"photo": [0, 0]}, {"photo": ["photo/dog/0.jpg", "photo/dog/1.jpg"]}, [])
SPLITS = {
    "binary": bytes(range(256)) * 100,
    "escapes": b"\x1b[2J\x1b]0;owned\x07,1\n",
    "nul": b"photo/dog/0.jpg\0,1\n",
    "a-label-of-five-thousand-digits": b"photo/dog/0.jpg," + b"9" * 5000 + b"\n",
    "a-label-of-another-alphabet": "photo/dog/0.jpg,\u0661\u0662\u00b2\n".encode(),
    "a-line-of-ten-megabytes": b"a" * 10_000_000 + b"\n",
    "a-million-empty-lines": b"\n" * 1_000_000,
    "the-same-200,000-times": b"photo/dog/0.jpg,1\n" * 200_000,
    "a-path-out-of-the-tree": b"../../../etc/passwd,1\n",
    "page": b"<html>quota exceeded</html>",
    "utf-16": "photo/dog/0.jpg,1\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_split_files(name, tmp_path):
    path = tmp_path / "photo_train.txt"
    path.write_bytes(SPLITS[name])
    refused(path, lambda: split_files.read(tmp_path, "pacs", INDEX, {"photo": ("train",)}))


def test_a_split_file_of_ten_gigabytes_that_takes_no_space(tmp_path):
    path = tmp_path / "photo_train.txt"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    refused(path, lambda: split_files.read(tmp_path, "pacs", INDEX, {"photo": ("train",)}))
