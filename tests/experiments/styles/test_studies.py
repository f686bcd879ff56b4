import pytest

from dg_jax import config
from dg_jax.command_line import flags as command_flags
from dg_jax.data import registry
from experiments import sweep
from experiments.styles import studies


@pytest.mark.parametrize("name", studies.STUDIES)
def test_the_runs_of_a_study_are_those_registered(name, tmp_path):
    one = studies.STUDIES[name]
    runs = studies.runs(name, plan_of(tmp_path))
    assert len(runs) == len(one.targets) * len(one.strategies) * one.seeds
    for run in runs:
        assert run.sources == one.sources
        assert set(run.data.domains) <= set(registry.get("styles").domains)
        assert run.optimisation.batch_size == one.batch_size
        assert run.method.batches == ("single_domain" if name == "single_domain" else "multi_domain")
        assert (run.optimisation.iterations, run.rates.learning_rate) == {
            "rate_5e-5": (1000, 5e-5),
            "rate_1e-5": (1000, 1e-5),
            "ten_longer": (1000, 1e-4),
            "frozen_longer": (1000, 1e-4),
            "frozen_1e-3": (300, 1e-3),
            "default_run": (300, 1e-3),
            "steps_240_3e-5": (240, 3e-5),
            "steps_240_3e-4": (240, 3e-4),
            "steps_240_1e-3": (240, 1e-3),
            "others_3e-4": (240, 3e-4),
            "others_1e-3": (240, 1e-3),
        }.get(name, (240, 1e-4))
        assert len(run.network.frozen_layers) == (8 if name.startswith(("frozen", "default")) else 0)
        assert run.network.model == "squeezenet" and run.rates.weight_decay == 5e-5
        assert run.output.results_dir == tmp_path / "styles" / one.taken.get(run.strategy, name)
        if run.strategy == "and_mask":
            assert run.method.and_mask.threshold == (0.6 if name in ("five", "ten_mask_0.6") else 0.8)


@pytest.mark.parametrize("name", [name for name, one in studies.STUDIES.items() if one.taken])
def test_runs_that_another_study_has_are_those_of_that_study(name, tmp_path):
    taken = studies.STUDIES[name].taken
    own = [run for run in studies.runs(name, plan_of(tmp_path)) if run.strategy in taken]
    assert {run.strategy for run in own} == set(taken)
    for run in own:
        assert run in studies.runs(taken[run.strategy], plan_of(tmp_path))


def test_the_default_run_is_that_of_the_command_line(tmp_path):
    one = next(run for run in studies.runs("default_run", plan_of(tmp_path)) if run.strategy == "agr_sum")
    assert config.changed(one, results_dir=tmp_path) == config.configure(results_dir=tmp_path, resume=True)


@pytest.mark.parametrize("flag", ["--model=small_cnn", "--model=alexnet", "--weights=None", "--weights=w.safetensors"])
def test_another_network_may_be_given(tmp_path, flag):
    plan = command_flags.parse(
        sweep.Plan, ["--dataset=styles", flag, "--seeds=1", f"--results-dir={tmp_path}"], "styles"
    )
    assert {run.network for run in studies.runs("two", plan)} == {config.changed(plan, frozen_layers=()).network}


def plan_of(folder):
    usual = config.defaults("styles")
    return sweep.Plan(
        data=usual.data, network=usual.network, method=usual.method, optimisation=usual.optimisation, seeds=20,
        output=config.Output(results_dir=folder),
    )  # fmt: skip
