"""The converters' command line, and the files that it refuses."""

import hashlib
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from dg_jax.models import torch_weights, weights
from tests.models import torch_networks

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")

RESNET = torch_networks.load_converter("torchvision_resnet")
ALEXNET = torch_networks.load_converter("torchvision_alexnet")


@pytest.fixture(scope="module")
def state():
    """The state dict of a ResNet-18."""
    return torch_networks.NETWORKS["resnet18"]().state_dict()


def save(state, path):
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.numpy.save_file({name: tensor.contiguous().numpy() for name, tensor in state.items()}, path)
    return path


def metadata_of(path):
    with safetensors.safe_open(path, framework="np") as file:
        return file.metadata()


def refused(source, capsys, converter=RESNET):
    """Returns the one-line error, which names the file; checks that no file is left behind."""
    before = sorted(source.parent.iterdir()) if source.parent.exists() else None
    assert torch_weights.main(converter.convert, [str(source), str(source.parent / "out.safetensors")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ") and output.err.count("\n") == 1
    assert str(source) in output.err
    assert before is None or sorted(source.parent.iterdir()) == before
    return output.err


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_writes_every_tensor_under_our_names(state, tmp_path, capsys, suffix):
    source, target = save(state, tmp_path / f"resnet{suffix}"), tmp_path / "out.safetensors"
    assert torch_weights.main(RESNET.convert, [str(source), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: resnet18, 102 tensors, 11,699,112 numbers\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", source.name]
    assert metadata_of(target) == {
        "model": "resnet18",
        "source": source.name,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    tensors = safetensors.numpy.load_file(target)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    for ours, theirs in [
        ("bn1.scale", "bn1.weight"),
        ("bn1.mean", "bn1.running_mean"),
        ("layer2.block0.bn2.var", "layer2.0.bn2.running_var"),
        ("layer2.shortcut_bn.bias", "layer2.0.downsample.1.bias"),
        ("dense.bias", "fc.bias"),
    ]:
        np.testing.assert_array_equal(tensors[ours], state[theirs].numpy())
    np.testing.assert_array_equal(tensors["dense.kernel"], state["fc.weight"].numpy().T)
    kernel = state["layer3.0.conv1.weight"].numpy()
    assert tensors["layer3.block0.conv1.kernel"].shape == (3, 3, 128, 256)
    np.testing.assert_array_equal(tensors["layer3.block0.conv1.kernel"][2, 0, 5, 7], kernel[7, 5, 2, 0])


def test_as_a_program(state, tmp_path):
    program = [sys.executable, torch_networks.THIRD_PARTY / "torchvision_resnet" / "convert.py"]
    source, target = save(state, tmp_path / "resnet18.pth"), tmp_path / "out.safetensors"
    for given, code in ((source, 0), (tmp_path / "missing.pth", 2)):
        done = subprocess.run([*program, given, target], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    assert done.stderr == f"error: {tmp_path / 'missing.pth'} cannot be read: No such file or directory\n"
    assert metadata_of(target)["model"] == "resnet18"


def test_the_checksum_in_the_name(state, tmp_path, capsys):
    source = save(state, tmp_path / "resnet18-00000000.pth")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    message = refused(source, capsys)
    assert f"begins with {digest[:8]}, not with 00000000" in message
    right = source.rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    assert torch_weights.main(RESNET.convert, [str(right), str(tmp_path / "out.safetensors")]) == 0
    assert metadata_of(tmp_path / "out.safetensors")["sha256"] == digest


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_the_pickle_does_not_run(state, tmp_path, capsys, zipped):
    proof = tmp_path / "it-ran"
    source = tmp_path / "resnet18.pth"
    torch.save({**state, "payload": Payload(proof)}, source, _use_new_zipfile_serialization=zipped)
    assert "nothing in it was run" in refused(source, capsys)
    assert not proof.exists()
    torch.load(source, weights_only=False)
    assert proof.exists()  # so it could have run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer2.0.bn2.running_var": None}, "no tensor 'layer2.0.bn2.running_var'"),
        ({"layer1.2.conv1.weight": torch.ones(64, 64, 3, 3)}, "unexpected tensor 'layer1.2.conv1.weight'"),
        ({"conv1.weight": torch.ones(64, 3, 3, 3)}, "'conv1.weight' has shape (64, 3, 3, 3), not (64, 3, 7, 7)"),
        ({"fc.weight": torch.ones(512, 1000)}, "'fc.weight' has shape (512, 1000), not (1000, 512)"),
        ({"fc.bias": torch.ones(1000).double()}, "'fc.bias' is float64, not float32"),
        ({"fc.bias": torch.ones(1000).bfloat16()}, "'fc.bias' is bfloat16, strided, not float32"),
        ({"fc.bias": torch.ones(1000).to_sparse()}, "'fc.bias' is float32, sparse_coo, not float32, strided"),
        ({"fc.bias": torch.full((1000,), torch.nan)}, "'fc.bias' has values that are NaN or infinite"),
        ({"fc.bias": torch.full((1000,), torch.inf)}, "'fc.bias' has values that are NaN or infinite"),
        ({"layer1.0.conv3.weight": torch.ones(256, 64, 1, 1)}, "torchvision's resnet50 is needed"),
        ({"epoch": 3}, "'epoch' is a int; a dict of tensors only is needed"),
    ],
)
def test_a_wrong_tensor_is_named(state, tmp_path, capsys, change, message):
    changed = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
    assert message in refused(save(changed, tmp_path / "resnet18.pth"), capsys)


def test_a_network_of_the_other_converter(state, tmp_path, capsys):
    message = refused(save(state, tmp_path / "resnet18.pth"), capsys, ALEXNET)
    assert "no tensor 'classifier.1.bias'; torchvision's alexnet is needed" in message


def test_a_state_dict_inside_another_dict(state, tmp_path, capsys):
    source = save({"state_dict": state}, tmp_path / "checkpoint.pth")
    assert "'state_dict' is a" in refused(source, capsys)
    assert "holds a list, not a dict" in refused(save([1, 2], tmp_path / "list.pth"), capsys)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(state, tmp_path, capsys, suffix):
    path = save(state, tmp_path / f"whole{suffix}")
    whole = path.read_bytes()
    for content in (b"", b"garbage" * 100, b"\x80\x02", whole[:1000], whole[:-1000]):
        path.write_bytes(content)
        refused(path, capsys)


def test_unreadable_sources(tmp_path, capsys):
    assert "No such file" in refused(tmp_path / "missing.pth", capsys)
    (tmp_path / "folder.pth").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.pth", capsys)
    (tmp_path / "weights.npz").write_bytes(b"")
    assert "neither a .pth nor a .safetensors file" in refused(tmp_path / "weights.npz", capsys)


def test_without_pytorch_a_pth_file_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    source = tmp_path / "resnet18.pth"
    source.write_bytes(b"")
    assert 'pip install -e ".[convert]"' in refused(source, capsys)


def test_a_target_that_cannot_be_written_leaves_what_was_there(state, tmp_path, capsys):
    source = save(state, tmp_path / "resnet18.pth")
    (tmp_path / "out.safetensors").mkdir()
    assert torch_weights.main(RESNET.convert, [str(source), str(tmp_path / "out.safetensors")]) == 2
    assert torch_weights.main(RESNET.convert, [str(source), str(tmp_path / "missing" / "out.safetensors")]) == 2
    assert capsys.readouterr().err.count("cannot be written") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", "resnet18.pth"]


def test_arrays_are_written_in_their_own_order_whatever_their_strides(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    weights.write(tmp_path / "x", {"x": array}, {})
    content = (tmp_path / "x").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + length])["x"]["shape"] == [3, 2]
    np.testing.assert_array_equal(np.frombuffer(content[8 + length :], np.float32), [0, 3, 1, 4, 2, 5])
