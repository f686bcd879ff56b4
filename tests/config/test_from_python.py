import pathlib

import numpy as np
import pytest

from dg_jax import config, errors, run


def test_from_python_is_as_from_the_command_line(tmp_path):
    flags = ["--strategy=AgrSum", "--target=Line", "--batch-size=8", f"--results-dir={tmp_path}", "--lr=1"]
    settings = {"strategy": "AgrSum", "target": "Line", "batch_size": 8, "results_dir": str(tmp_path)}
    assert run.configure(**settings, learning_rate=1) == run.parse(flags)
    of_irm = run.configure(strategy="irm", irm={"penalty_weight": 3.0}, preset="paper")
    assert of_irm == run.parse(["--strategy=irm", "--irm.penalty-weight=3", "--preset=paper"])
    released = run.configure(preset="Released", average="EMA", agr_sum={"zeros": "Abstain"})
    assert released == run.parse(["--preset=Released", "--average=EMA", "--agr-sum.zeros=Abstain"])
    assert (released.preset, released.method.agr_sum.zeros) == ("released", "abstain")


def test_paths_lists_and_numpys_numbers_are_taken(tmp_path):
    one = config.configure(domains=["apple", "windows", "line"], iterations=np.int64(7), prepared_dir=str(tmp_path))
    assert one.data.domains == ("apple", "windows", "line") and type(one.optimisation.iterations) is int
    assert one.data.prepared_dir == pathlib.Path(tmp_path)
    hash(one)
    weights = [np.float32(1), np.int64(2), 3]
    other = config.configure(
        preset=np.str_("Paper"),
        strategy="weighted",
        weighted={"weights": weights},
        irm={"penalty_weight": np.float32(100)},
    )
    assert (other.preset, other.method.weighted.weights) == ("paper", (1.0, 2.0, 3.0))
    for layers in ("conv1", ["conv1"]):
        other = config.configure(target="line", weights="w.safetensors", frozen_layers=layers)
        assert other.network.frozen_layers == ("conv1",)
        hash(other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tgt": "windows"}, "unknown setting 'tgt'; did you mean target"),
        ({"iterations": "300"}, "--iterations=300: give a whole number"),
        ({"iterations": 3.5}, "--iterations=3.5: give a whole number"),
        ({"iterations": True}, "--iterations=True: give a whole number"),
        ({"learning_rate": "fast"}, "--learning-rate=fast: give a positive number"),
        ({"results_dir": 3}, "--results-dir=3: give a path"),
        ({"strategy": None}, "--strategy=None: give text"),
        ({"model": 3}, "--model=3: give text"),
        ({"model": ["x"]}, r"--model=\['x'\]: give text"),
        ({"domains": 3}, "--domains=3: give names"),
        ({"frozen_layers": ["conv1", 2]}, r"--frozen-layers=\['conv1', 2\]: give names"),
        ({"frozen_layers": None}, "--frozen-layers=None: give names"),
        ({"overwrite": 1}, "--overwrite=1: give True or False"),
        ({"strategy": "irm", "irm": {"weight": 1}}, "its settings are penalty_weight, anneal_steps"),
        ({"strategy": "deepal"}, "did you mean deep_all"),
        ({"target": "moon"}, "unknown --target"),
        ({"dataset": 3}, "--dataset=3: give text"),
        ({"strategy": np.int64(2)}, "--strategy=2: give text"),
        ({"overwrite": np.str_("no")}, "--overwrite='no': give True or False"),
        ({"strategy": "mldg", "mldg": {"second_order": "no"}}, "--mldg.second-order=no: give True or False"),
        ({"strategy": "vrex", "vrex": {"penalty_weight": None}}, "--vrex.penalty-weight=None: give a number"),
        ({"strategy": "vrex", "vrex": {"anneal_steps": 0.5}}, "--vrex.anneal-steps=0.5: give a whole number"),
        ({"strategy": "weighted", "weighted": {"weights": [1, [2], 3]}}, "--weighted.weights=1 .*: give a number"),
        ({"learning_rate": 10**400}, "--learning-rate=10{400}: give a positive number"),
        ({"results_dir": None}, "--results-dir=None: give a path"),
        ({"combiner": 3}, "--combiner=3: give text"),
        ({"coordinator": 3}, "--coordinator=3: give text"),
        ({"learning_rate": None}, "--learning-rate=None: give a positive number"),
        ({"seed": None}, "--seed=None: give a whole number"),
        ({"learning_rate_drop": 3}, "--learning-rate-drop=3: give STEP:FACTOR"),
        ({"agr_sum": 3}, "--agr-sum=3: give its settings, as a dict"),
        ({"agr_sum": None}, "--agr-sum=None: give its settings, as a dict"),
        ({"preset": "papr"}, "--preset=papr: give dataset or paper or released"),
        ({"preset": ["paper"]}, r"--preset=\['paper'\]: give text"),
        ({"batch_norm": "trained"}, "--batch-norm=trained: give frozen"),
        ({"agr_sum": {"zeros": "agre"}}, "--agr-sum.zeros=agre: give agree or conflict or abstain"),
        ({"dataset": "folder"}, "--data-dir=FOLDER says where"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(errors.UserError, match=message):
        config.configure(**settings)


def test_a_run_configuration_that_lacks_something_names_it():
    with pytest.raises(errors.UserError, match="--domains: none are named"):
        run.run(config.RunConfig(strategy="agr_sum", target="windows"))
    lacking = config.changed(config.RunConfig(), domains=("apple", "google", "windows"))
    with pytest.raises(errors.UserError, match="--target: name the domain to hold out"):
        run.run(lacking)


def test_none_takes_back_what_a_preset_sets():
    one = run.configure(dataset="spirals", iterations=10, learning_rate_drop=None)
    assert one.optimisation.learning_rate_drop is None
    with pytest.raises(errors.UserError, match="--model=None: give text"):
        run.configure(model=None)
