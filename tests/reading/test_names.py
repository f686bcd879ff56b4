"""Names and flags as people write them, and the messages for unknown ones."""

import importlib
import pathlib
import subprocess
import sys
import tomllib

import pytest

import dg_jax
from dg_jax import config, errors, models, run, strategies
from dg_jax.command_line import flags as command_flags
from dg_jax.config import changed, ranges
from dg_jax.data import registry
from dg_jax.reading import names
from experiments import sweep
from experiments.pretrain import __main__ as pretrain
from experiments.table1 import __main__ as table1
from tests.data import made_trees


@pytest.mark.parametrize("change", [str.upper, str.title, lambda name: name.replace("_", "-")])
def test_strategies_datasets_domains_and_models_are_known_in_any_writing(change):
    for name in strategies.STRATEGIES:
        required = [f"{config.flag(name)}.{setting}" for method, setting in ranges.REQUIRED.items() if method == name]
        needed = [part for flag in required for part in (flag, *("0" * (1 if name == "krum" else 3)))]
        assert run.parse([f"--strategy={change(name)}", *needed]).strategy == name
        assert strategies.get(change(name)) == strategies.STRATEGIES[name]
    for name, spec in registry.DATASETS.items():
        if spec.domains:
            for domain in spec.domains:
                flags = [f"--dataset={change(name)}", f"--target={change(domain)}", "--domains", *spec.domains]
                parsed = run.parse([*flags, *(["--data-dir=/a"] if spec.layout or spec.takes_data_dir else [])])
                assert (parsed.data.dataset, parsed.target) == (name, domain)
    for name in models.MODELS:
        assert run.parse([f"--model={change(name)}", "--weights=w"]).network.model == name


def test_without_anything_between_words():
    parsed = run.parse(
        ["--strategy=Irm", "--combiner=AgrSum", "--domains", "Apple", "OpenMoji", "Line", "--model=AlexNet"]
    )
    assert (parsed.strategy, parsed.method.combiner, parsed.network.model) == ("irm", "agr_sum", "alexnet")
    assert (parsed.data.domains, parsed.target) == (("apple", "openmoji", "line"), "line")
    assert run.parse(["--dataset=OfficeHome", "--data-dir=/a", "--target=RealWorld"]).target == "real_world"


def test_a_dataset_written_otherwise_has_its_own_preset():
    assert changed(run.parse(["--dataset=EMOJI"]), dataset="emoji") == run.parse(["--dataset=emoji"])
    assert run.parse(["--dataset=PACS", "--data-dir=/a"]).optimisation.iterations == 1000


def test_the_folders_of_ones_own_pictures_too_unless_two_are_meant(tmp_path):
    made_trees.fill(tmp_path, ("Big Photos", "sketch", "Sketch"), ("dog",), per_class=1, size=9)
    flags = ["--dataset=folder", f"--data-dir={tmp_path}"]
    assert run.parse([*flags, "--target=big-photos"]).target == "Big Photos"
    for exact in ("sketch", "Sketch"):
        assert run.parse([*flags, f"--target={exact}"]).target == exact
    with pytest.raises(
        errors.UserError, match="unknown --target for --dataset=folder: 'SKETCH'; there are: Big Photos"
    ):
        run.parse([*flags, "--target=SKETCH"])


def test_a_sweep_understands_them_too():
    flags = ["--strategies", "AgrSum", "pc-grad", "--targets", "Line", "--seeds=1"]
    all_configs = sweep.configs(command_flags.parse(table1.Table1, flags, ""))
    assert [(one.strategy, one.target) for one in all_configs] == [("agr_sum", "line"), ("pcgrad", "line")]
    with pytest.raises(errors.UserError, match="--strategies names one twice: agr_sum agr_sum"):
        sweep.configs(command_flags.parse(table1.Table1, ["--strategies", "AgrSum", "agr_sum"], ""))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strategy=arg_sum"], "unknown strategy 'arg_sum'; there are: deep_all, "),
        (["--strategy=arg_sum"], "; did you mean agr_sum?"),
        (["--combiner=PCGard"], "; did you mean pcgrad?"),
        (["--dataset=pasc", "--data-dir=/a"], "; did you mean pacs?"),
        (["--target=window"], "; did you mean windows?"),
        (["--domains", "aple", "windows"], "; did you mean apple?"),
        (["--stratgy=agr_sum"], "unknown flag --stratgy=agr_sum; did you mean --strategy? (--help shows all flags)"),
        (["strategy=agr_sum"], "; did you mean --strategy?"),
        (["--learningrate=1"], "; did you mean --learning-rate?"),
        (["--irm.penalty=1"], "; did you mean --irm.penalty-weight?"),
        (["=3"], "unknown flag =3 (--help shows all flags)"),
        (["--domain", "apple"], "; did you mean --domains?"),
        (["--xyzzy"], "unknown flag --xyzzy (--help shows all flags)"),
        (["--preset=papers"], "Expected one of ('dataset', 'paper', 'released'). (--help shows all flags)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_typo_is_answered_with_the_nearest_name(flags, message, capsys):
    assert run.main(flags) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1


def test_a_flag_that_an_experiment_has_not_is_not_recommended(capsys):
    assert table1.main(["--strategy=irm"]) == 2
    assert "unknown flag --strategy=irm; did you mean --strategies?" in capsys.readouterr().err


def test_a_word_like_no_other_has_no_nearest():
    assert names.nearest("", ["a"]) is None and names.nearest("!", ["?"]) is None
    assert names.find("!", ["?"]) is None and names.find("?", ["?"]) == "?"


def test_short_flags_of_rates():
    parsed = run.parse(["--lr=0.5", "--wd=0.25"])
    assert (parsed.rates.learning_rate, parsed.rates.weight_decay) == (0.5, 0.25)
    settings = command_flags.cli(pretrain.Pretrain, ["--lr=0.5", "--wd=0.25"])
    assert (settings.learning_rate, settings.weight_decay) == (0.5, 0.25)


def test_the_models_that_flags_know_are_those_that_there_are():
    assert set(config.MODELS) == set(models.MODELS)


def test_the_package_is_a_program_and_tells_its_version():
    for module in ("dg_jax", "dg_jax.run", "experiments.table1"):
        command = [sys.executable, "-m", module, "--version"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == (
            f"dg_jax {dg_jax.__version__}\n"
        )
    pyproject = pathlib.Path(__file__).parents[2] / "pyproject.toml"
    [(name, place)] = tomllib.loads(pyproject.read_text())["project"]["scripts"].items()
    module, function = place.split(":")
    assert name == "dg-jax" and callable(getattr(importlib.import_module(module), function))
