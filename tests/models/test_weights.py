import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from dg_jax import errors, models
from dg_jax.models import weights
from tests import quick
from tests.models import networks

KEY = jax.random.key(0)
CONVERT_ALEXNET = "third_party/torchvision_alexnet/convert.py"


def abstract(model):
    return nnx.eval_shape(lambda: models.MODELS[model](3, rngs=nnx.Rngs(0)))


def tensors_of(model):
    """Random tensors under our names, for 3 classes."""
    rng = np.random.default_rng(1)
    return {
        name: rng.uniform(0.5, 1, variable.shape).astype(np.float32)
        for name, variable in weights.named_arrays(abstract(model)).items()
    }


@pytest.fixture
def save(tmp_path):
    def save(tensors, metadata=None):
        path = tmp_path / "some.safetensors"
        safetensors.numpy.save_file(tensors, path, metadata)
        return path

    return save


def refuses(path, *parts, model="small_cnn"):
    with pytest.raises(errors.UserError) as caught:
        weights.load(path, model, abstract(model), models.MODELS[model].last_layer)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for part in parts:
        assert part in message


def test_names_are_paths_in_the_parameters():
    params, _ = models.create("small_cnn", 8, KEY)
    leaves = jax.tree.leaves_with_path(params)
    names = {jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves}
    assert names == tensors_of("small_cnn").keys()
    assert "conv1.kernel" in names


@pytest.mark.parametrize("metadata", [None, {"model": "small_cnn"}])
def test_all_but_the_last_layer_are_loaded(save, metadata):
    tensors = tensors_of("small_cnn")
    fresh, _ = models.create("small_cnn", 8, KEY)
    params, apply_fn = models.create("small_cnn", 8, KEY, save(tensors, metadata))
    for layer in ("conv1", "conv2", "conv3"):
        for leaf in ("kernel", "bias"):
            assert isinstance(params[layer][leaf], jax.Array)
            assert params[layer][leaf].dtype == jnp.float32
            np.testing.assert_array_equal(params[layer][leaf], tensors[f"{layer}.{leaf}"])
    jax.tree.map(np.testing.assert_array_equal, params["dense"], fresh["dense"])
    assert apply_fn(params, np.ones((2, 8, 8, 3), np.float32)).shape == (2, 8)


def test_a_file_without_the_last_layer_does(save):
    tensors = tensors_of("small_cnn")
    del tensors["dense.kernel"], tensors["dense.bias"]
    params, _ = models.create("small_cnn", 8, KEY, save(tensors))
    np.testing.assert_array_equal(params["conv2"]["kernel"], tensors["conv2.kernel"])


def test_statistics_are_loaded_used_and_held_outside_the_parameters(save):
    tensors = tensors_of("resnet18")
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)

    def logits_of(tensors):
        module = networks.random_module(lambda: models.MODELS["resnet18"](8, rngs=nnx.Rngs(0)))
        weights.load(save(tensors, {"model": "resnet18"}), "resnet18", module, module.last_layer)
        params, apply_fn = models.split(module)
        assert params["bn1"].keys() == {"scale", "bias"}
        return np.asarray(quick.jit(apply_fn)(params, images))

    name = "layer4.block1.bn2.var"
    assert np.any(logits_of(tensors) != logits_of(tensors | {name: 2 * tensors[name]}))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"conv2.kernel": None}, ["no tensor 'conv2.kernel'"]),
        ({"conv4.bias": np.ones(3, np.float32)}, ["unexpected tensor 'conv4.bias'"]),
        ({"dense.scale": np.ones(3, np.float32)}, ["unexpected tensor 'dense.scale'"]),
        ({"conv2.bias": np.ones(63, np.float32)}, ["'conv2.bias'", "(63,)", "(64,)"]),
        ({"conv2.bias": np.ones(64)}, ["'conv2.bias' is float64, not float32"]),
        ({"conv2.bias": np.ones(64, np.float16)}, ["'conv2.bias' is float16, not float32"]),
        ({"conv2.bias": np.full(64, np.nan, np.float32)}, ["'conv2.bias' has values that are NaN or infinite"]),
        ({"conv2.bias": np.full(64, -np.inf, np.float32)}, ["'conv2.bias' has values that are NaN or infinite"]),
    ],
)
def test_a_wrong_tensor_is_named(save, change, parts):
    tensors = tensors_of("small_cnn") | change
    refuses(save({name: tensor for name, tensor in tensors.items() if tensor is not None}), *parts)


def test_the_scope_features_leaves_all_dense_layers_fresh(save, capsys):
    tensors = {name: np.ones(variable.shape, np.float32) for name, variable in weights.named_arrays(alexnet()).items()}
    convolutions = {name: tensor for name, tensor in tensors.items() if name.startswith("conv")}
    for some in (tensors, convolutions):
        module = alexnet()
        weights.load(save(some), "alexnet", module, module.last_layer, "features")
        arrays = weights.named_arrays(module)
        assert all(np.all(arrays[name][...] == 1) for name in convolutions)
        assert all(np.all(arrays[name][...] == 0) for name in arrays.keys() - convolutions)
    assert capsys.readouterr().err == ""
    module = alexnet()
    with pytest.raises(errors.UserError, match=r"there is no tensor 'dense1\.bias'"):
        weights.load(save(convolutions), "alexnet", module, module.last_layer, "all")
    with pytest.raises(errors.UserError, match="--weights-scope=features: mlp has only dense layers; leave it out"):
        models.create("mlp", 2, jax.random.key(0), save({"dense1.bias": np.ones(3)}, None), weights_scope="features")


def test_only_layers_with_weights_from_the_file_can_be_frozen(save):
    tensors = tensors_of("small_cnn")
    models.create("small_cnn", 5, KEY, save(tensors), frozen_layers=("conv1", "conv3"))
    why = "no such layer of small_cnn has pretrained weights; there are: conv1, conv2, conv3"
    for layer in ("dense", "conv4", "conv1,conv2", "conv1.kernel", ""):
        with pytest.raises(errors.UserError, match=f"^--frozen-layers {layer!r}: {why}$"):
            models.create("small_cnn", 5, KEY, save(tensors), frozen_layers=("conv1", layer))
    with pytest.raises(errors.UserError, match=r"^--frozen-layers 'conv1': .* there are: none$"):
        models.create("small_cnn", 5, KEY, frozen_layers=("conv1",))


def alexnet():
    module = nnx.eval_shape(lambda: models.AlexNet(3, rngs=nnx.Rngs(0)))
    nnx.update(module, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), nnx.state(module)))
    return module


def test_a_type_that_numpy_lacks_is_named(tmp_path):
    path = tmp_path / "float8.safetensors"
    header = b'{"conv1.bias":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refuses(path, "'conv1.bias' is F8_E4M3, not float32")


def test_create_refuses_too(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        models.create("small_cnn", 8, KEY, tmp_path / "missing")


def test_weights_of_another_network(save):
    path = save(tensors_of("small_cnn"), {"model": "small_cnn"})
    refuses(path, "weights of 'small_cnn', not of alexnet", CONVERT_ALEXNET, model="alexnet")


def test_torchvisions_names_lead_to_the_converter(save):
    path = save({"features.0.weight": np.ones((64, 3, 11, 11), np.float32)})
    refuses(path, "PyTorch's names", CONVERT_ALEXNET, model="alexnet")
    refuses(path, "PyTorch's names", "third_party/torchvision_resnet/convert.py", model="resnet50")


def test_files_that_cannot_be_read(tmp_path, save):
    refuses(tmp_path / "missing", "no such file")
    refuses(tmp_path, "no such file")
    path = save(tensors_of("small_cnn"))
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04 a zip file, as PyTorch's", whole[:5], whole[:100], whole[:-1], whole + b"x"):
        path.write_bytes(content)
        refuses(path, "not a whole safetensors file", CONVERT_ALEXNET, model="alexnet")


def test_every_converter_named_is_there(request):
    for model, converter in weights.CONVERTERS.items():
        assert model in models.MODELS
        assert (request.config.rootpath / converter).is_file()
