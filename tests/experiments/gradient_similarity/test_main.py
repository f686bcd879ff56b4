"""The command line of the gradient similarity experiment."""

import itertools
import json
import pickle
import types

import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from dg_jax import errors, models
from dg_jax.models import weights
from experiments.gradient_similarity import __main__ as gradient_similarity
from experiments.gradient_similarity import drawing, stored, training
from tests import printed

pytestmark = pytest.mark.usefixtures("quick_steps")

TINY = ["--dataset=emoji", "--iterations=4", "--every=2", "--per-domain=2", "--batch-size=4", "--image-size=8"]
DOMAINS = ["--domains", "apple", "google", "windows"]


def linear_model(name, num_classes, *others):
    """A linear network, which is quick to compile."""

    def apply_fn(params, images, *, key=None, train=False):
        return images.mean(axis=(1, 2)) @ params["kernel"] + params["bias"]

    return {"kernel": jnp.ones((3, num_classes)), "bias": jnp.arange(1.0 * num_classes)}, apply_fn


@pytest.fixture
def command(emoji_dir, tmp_path, capsys, monkeypatch):
    """Calls the command line in this process: ``command(*flags) -> (exit code, stdout, stderr)``."""
    monkeypatch.setattr(models, "create", linear_model)

    def call(*flags):
        code = gradient_similarity.main(
            [*TINY, *DOMAINS, f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path / 'results'}", *flags]
        )
        said = capsys.readouterr()
        return code, said.out, printed.without_progress(said.err)

    return call


def test_each_seed_is_measured_with_the_statistics_of_its_own_weights(command, tmp_path, monkeypatch):
    for seed in (0, 1):
        of_seed = {"scale": np.full(1, 0.1 + 0.2 * seed, np.float32)}
        weights.write(tmp_path / f"w-{seed}.safetensors", of_seed, {"model": "resnet18"})

    def scaled(name, num_classes, key, path, *others):
        scale = weights.read(path)[0]["scale"]
        params, apply_fn = linear_model(name, num_classes)
        return params, lambda params, images, **options: scale * apply_fn(params, images)

    monkeypatch.setattr(models, "create", scaled)
    flags = ["--targets", "windows", "--seeds=2", "--model=resnet18", f"--weights={tmp_path}/w-{{seed}}.safetensors"]
    assert command(*flags)[0] == 0
    file = tmp_path / "results/gradient_similarity/emoji/windows/seed-1.json"
    together = json.loads(file.read_text())
    file.unlink()
    assert command(*flags)[0] == 0
    assert json.loads(file.read_text())["intra"] == together["intra"]


def no_training(*args, **options):
    raise AssertionError("nothing should be trained")


def test_measures_draws_and_does_nothing_twice(command, tmp_path, monkeypatch):
    folder = tmp_path / "results/gradient_similarity/emoji"
    code, out, err = command("--targets", "windows", "apple")
    assert code == 0
    assert err.strip() == f"figures in {folder}"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    figures = {
        f"{name}.{end}" for name in ("similarity", "agreement-windows", "agreement-apple") for end in ("png", "pdf")
    }
    assert files == figures | {"windows/seed-0.json", "apple/seed-0.json"}
    measured = json.loads((folder / "apple/seed-0.json").read_text())
    assert measured["settings"]["sources"] == ["google", "windows"]
    assert measured["steps"] == [0, 2, 4]
    assert measured["layers"] == ["bias", "kernel"]
    assert np.shape(measured["domains"]) == (3, 2, 2)
    assert np.shape(measured["agreement"]) == (3, 2)
    assert f"| apple | 1 | {np.mean(measured['intra']):.3f} ± {np.std(measured['intra'], ddof=1):.3f} |" in out
    assert f"| {measured['inter'][-1]:.3f} | {np.greater(measured['intra'], measured['inter']).sum()} of 3 |" in out

    train = training.train
    monkeypatch.setattr(training, "train", no_training)
    assert command("--targets", "windows", "apple")[:2] == (0, out)
    code, _, err = command("--targets", "apple", "--every=1")
    assert code == 2
    assert f"{folder / 'apple/seed-0.json'} was measured with other settings: every is 1 here, 2 there;" in err
    assert "--overwrite" in err
    for flags in (["--augment=standard"], ["--learning-rate-drop=2:0.5"], ["--small-sources=repeat"]):
        assert command("--targets", "apple", *flags)[0] == 2

    monkeypatch.setattr(training, "train", train)
    (folder / "apple/seed-0.json").write_text('{"settings": {}, "steps": [0')
    code, again, err = command("--targets", "windows", "apple")
    assert code == 0 and again == out
    assert err.startswith(f"warning: {folder / 'apple/seed-0.json'} is damaged and measured again (JSONDecodeError")
    remade = json.loads((folder / "apple/seed-0.json").read_text())
    assert remade["intra"] == measured["intra"] and remade["wall_seconds"] != measured["wall_seconds"]


def test_a_run_that_fails_is_named_and_the_rest_is_shown(command, tmp_path, monkeypatch):
    train = training.train

    def fail_on_apple(config, *others, **options):
        if config.target == "apple":
            raise errors.RunError("step 3: a gradient is not finite")
        return train(config, *others, **options)

    monkeypatch.setattr(training, "train", fail_on_apple)
    code, out, err = command("--targets", "apple", "windows")
    path = tmp_path / "results/gradient_similarity/emoji/apple/seed-0.json"
    assert code == 1
    assert "| windows | 1 |" in out and "| apple |" not in out
    assert f"{path}: step 3: a gradient is not finite" in err
    assert not path.exists() and (path.parents[1] / "similarity.png").exists()


def test_tasks_of_ray_give_the_same_table(command, tmp_path, monkeypatch):
    local = command("--targets", "windows", "apple")[1]
    seen = []

    def outcomes(do, batches):
        """Does as Ray does: pickles the function and the runs, and does the runs in another order."""
        seen.extend(batches)
        sent = [pickle.loads(pickle.dumps((do, batch))) for batch in reversed(batches)]
        return itertools.chain.from_iterable(function(batch) for function, batch in sent)

    monkeypatch.setattr(experiments, "ray_executor", types.SimpleNamespace(outcomes=outcomes), raising=False)
    code, out, _ = command("--targets", "windows", "apple", "--executor=ray", "--overwrite")
    assert (code, out) == (0, local)
    # Ray empties the folder of a run with ``overwrite``. Here it would be a Deep-All run of another experiment.
    assert [one.output.overwrite for [one] in seen] == [False, False]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=0"], "--seeds=0: give a whole number of at least 1"),
        (["--every=0"], "--every=0: give a whole number of at least 1"),
        (["--per-domain=1"], "--per-domain=1: give a whole number of at least 2"),
        (["--every=often"], "--every"),
        (["--strategy=agr_sum"], "--strategy"),
        (["--targets", "moon"], "'moon'; there are: apple, facebook"),
        (["--targets", "apple", "twitter"], "--target=twitter is not among --domains"),
        (["--average=ema"], "--average=ema would change nothing: gradients are measured at the parameters that are"),
        (["--domains", "apple", "windows"], "leaves one source; similarity between domains needs two"),
        (["--model=vgg"], "unknown model 'vgg'"),
        (["--batch-size=865"], "--batch-size=865 is larger than the training part of"),
        (["--no-such-flag=3"], "--no-such-flag"),
    ],
)
def test_bad_input_is_one_line(command, flags, message, tmp_path):
    code, out, err = command(*flags)
    assert code == 2
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert out == "" and not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"settings": {}, "layers": ["a"], "steps": [0], "intra": []}', "\xff"]
)
def test_a_damaged_file_is_named_and_counts_as_missing(text, tmp_path, capsys):
    path = tmp_path / "seed-0.json"
    path.write_text(text, encoding="latin-1")
    assert stored.of_run(path, {}, dict) is None
    assert f"warning: {path} is damaged and measured again" in capsys.readouterr().err


@pytest.mark.slow
def test_environments_whose_shortcuts_differ_disagree_in_the_first_layer(tmp_path, capsys):
    """A dataset that is computed; a network of one hidden layer."""
    flags = ["--dataset=spirals", "--domains", "e01", "e02", "e03", "random", "--targets=random", "--iterations=40"]
    flags += ["--learning-rate-drop=None", "--hidden-layers=1", "--batch-size=64", "--every=40"]
    assert gradient_similarity.main([*flags, f"--results-dir={tmp_path}"]) == 0
    assert "| random | 1 |" in capsys.readouterr().out
    measured = json.loads((tmp_path / "gradient_similarity/spirals/random/seed-0.json").read_text())
    assert measured["layers"] == ["dense1.bias", "dense1.kernel", "dense2.bias", "dense2.kernel"]
    assert measured["intra"][-1] > measured["inter"][-1] + 0.1
    first, last = measured["agreement"][-1][1], measured["agreement"][-1][3]
    assert first < last


def test_the_table_is_over_all_seeds():
    runs = [{"intra": [0.2, 0.6], "inter": [0.1, 0.7]}, {"intra": [0.4, 0.8], "inter": [0.1, 0.5]}]
    values = [0.2, 0.6, 0.4, 0.8], [0.1, 0.7, 0.1, 0.5], [0.6, 0.8], [0.7, 0.5]
    cells = [f"{np.mean(some):.3f} ± {np.std(some, ddof=1):.3f}" for some in values]
    assert drawing.to_markdown({"apple": runs}).splitlines()[-1] == (f"| apple | 2 | {' | '.join(cells)} | 3 of 4 |")
