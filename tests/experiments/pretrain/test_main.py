"""Weights pretrained for a split: what they are trained on, and which runs may use them."""

from types import MappingProxyType

import jax
import numpy as np
import pytest

from dg_jax import config, errors, models, run
from dg_jax.config import changed
from dg_jax.models import weights
from experiments.pretrain import __main__ as pretrain
from experiments.pretrain import subgroups as emoji_subgroups
from tests import printed

pytestmark = pytest.mark.slow


TINY = ("--iterations=3", "--batch-size=4", "--image-size=8", "--seeds=2")


@pytest.fixture
def command(tmp_path, capsys, emoji_dir):
    def call(*flags):
        code = pretrain.main([f"--results-dir={tmp_path / 'results'}", f"--prepared-dir={emoji_dir}", *TINY, *flags])
        said = capsys.readouterr()
        return code, said.out, printed.without_progress(said.err)

    return call


@pytest.fixture
def written(command, tmp_path):
    """Calls the program, and returns the path of its files, with ``{seed}`` for the seed."""
    assert command("--vectorize-seeds")[0] == 0
    return tmp_path / "results/pretrain/emoji/small_cnn/seed-{seed}.safetensors"


def run_of(seed, pattern, **changes):
    settings = {"target": "apple", "image_size": 8, "seed": seed, "weights": pattern} | changes
    return changed(config.defaults("emoji"), **settings)


class Data:
    classes = tuple("abcdefgh")
    example = MappingProxyType({"shape": (32, 32, 3)})


def test_a_file_for_each_seed_that_weights_loads(written, command, emoji_dir, monkeypatch):
    files = [written.with_name(f"seed-{seed}.safetensors") for seed in range(2)]
    assert sorted(written.parent.iterdir()) == files
    for seed, file in enumerate(files):
        params, _ = run.create_network(run_of(seed, written), Data)
        tensors, metadata = weights.read(file)
        fresh, _ = run.create_network(run_of(seed, None), Data)
        np.testing.assert_array_equal(params["conv2"]["kernel"], tensors["conv2.kernel"])
        np.testing.assert_array_equal(params["dense"]["kernel"], fresh["dense"]["kernel"])
        assert np.any(tensors["conv2.kernel"] != fresh["conv2"]["kernel"])
        assert tensors["dense.kernel"].shape == (128, 94)
        assert metadata["pretrained_on"] == "facebook joypixels samsung" and metadata["split_seed"] == str(seed)
        assert metadata["split_domains"] == "apple google twitter windows"

    monkeypatch.setattr(pretrain, "pretrain", None)  # nothing is done again
    code, out, _ = command()
    assert code == 0 and "weights of 2 seeds, 2 existed before; accuracy on their training data: " in out
    code, _, err = command("--iterations=4")
    assert code == 2 and err.startswith(f"error: {files[0]} was made with other settings: settings is ")


def test_only_training_emoji_of_the_runs_own_split_are_given_to_the_network(command, monkeypatch):
    asked = []

    def asked_for(*args, **options):
        asked.append(args)
        raise errors.UserError("enough")

    monkeypatch.setattr(emoji_subgroups, "load", asked_for)
    domains = ("apple", "windows")
    others = ["facebook", "google", "joypixels", "samsung", "twitter"]
    for flags, seeds in (([], [0]), (["--vectorize-seeds"], [0, 1])):
        assert command("--domains", *domains, *flags) == (2, "", "error: enough\n")
        assert asked.pop() == (others, domains, seeds)


def test_seeds_side_by_side_give_the_weights_of_single_seeds(written, command, tmp_path):
    assert command(f"--results-dir={tmp_path / 'single'}", "--seeds=1")[0] == 0
    together, single = (
        weights.read(folder / "pretrain/emoji/small_cnn/seed-0.safetensors")[0]
        for folder in (tmp_path / "results", tmp_path / "single")
    )
    assert together.keys() == single.keys()
    for name, tensor in together.items():
        np.testing.assert_allclose(tensor, single[name], atol=1e-4)


def test_weights_of_another_split_are_refused(written):
    seed_1 = written.with_name("seed-1.safetensors")
    for changes, said in (
        ({"seed": 0}, "another split, with --seed 1 and not 0, and has seen"),
        ({"domains": ("apple", "google", "windows")}, "another split, with --domains apple google twitter windows and"),
    ):
        with pytest.raises(errors.UserError, match=said) as caught:
            run.create_network(run_of(**{"seed": 1, "pattern": seed_1} | changes), Data)
        assert "\n" not in str(caught.value) and str(seed_1) in str(caught.value)


def test_a_target_that_the_weights_have_seen_is_refused(tmp_path):
    params, _ = models.create("small_cnn", 8, jax.random.key(0))
    tensors = {f"{layer}.{leaf}": np.asarray(params[layer][leaf]) for layer in params for leaf in params[layer]}
    one = run_of(0, tmp_path / "w.safetensors")
    metadata = pretrain.metadata_of(one) | {"pretrained_on": "apple samsung"}
    weights.write(tmp_path / "w.safetensors", tensors, metadata)
    with pytest.raises(
        errors.UserError, match="pretrained on apple samsung, so --target=apple is a domain that it has seen"
    ):
        run.create_network(one, Data)
    run.create_network(changed(one, target="google"), Data)
    weights.write(tmp_path / "w.safetensors", tensors, {"model": "small_cnn"})  # as a converter writes it
    run.create_network(changed(one, seed=5), Data)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=0"], "--seeds=0: give a whole number of at least 1"),
        (["--iterations=0"], "--iterations=0: give"),
        (["--batch-size=865"], "--batch-size=865 is larger than the training part, 864 images"),
        (["--learning-rate=-1"], "--learning-rate=-1.0: give a positive number"),
        (["--domains", "apple", "moon"], "unknown domain in --domains"),
        (["--domains"], "--domains: name the domains of the study"),
        (["--model=resnet18"], "--model"),
        (["--model=alexnet"], "--image-size=8: alexnet needs at least 63"),
        (
            ["--domains", "apple", "facebook", "google", "joypixels", "samsung", "twitter", "windows"],
            "leaves no vendor to pretrain on; name fewer",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(command, tmp_path, flags, message):
    code, out, err = command(*flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "results").exists()
