import types

from dg_jax import config
from dg_jax.training import compared
from experiments.report import commands


def test_runs_of_an_experiment_with_more_settings_get_no_wrong_command():
    settings = compared.to_json(config.changed(config.defaults("emoji"), strategy="agr_sum"))
    result = {"combiner": "agr_sum"}
    one = types.SimpleNamespace(
        config=settings, result=result, method_place="agr_sum", is_single_domain=False, target="windows", seed=0
    )
    [usual] = commands.of_runs([one])
    assert usual.startswith("python -m experiments.table1 --dataset=emoji --targets windows --strategies agr_sum")
    one.config = settings | {"strength": 0.5}
    [line] = commands.of_runs([one])
    assert line == "# runs of an experiment with settings of its own: strength 0.5"
