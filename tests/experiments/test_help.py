"""The ``--help`` of each experiment that sweeps."""

import dataclasses
import runpy
import sys

import pytest

from dg_jax import config


@pytest.mark.parametrize(
    ("module", "own", "not_there"),
    [
        ("table1", ["--compare-paper"], []),
        ("domain_control", [], ["--batches"]),
        ("grid_search", ["--learning-rates", "--weight-decays"], ["--learning-rate", "--weight-decay"]),
        ("shortcut_control", ["--strengths"], []),
        ("spirals", ["--scan", "--values", "--regions"], []),
        ("finetune", ["--learning-rates"], ["--learning-rate"]),
        ("gradient_similarity", ["--every", "--per-domain"], ["--strategies", "--vectorize-seeds"]),
    ],
)
def test_help_names_all_flags_of_its_own_and_of_a_run(module, own, not_there, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    monkeypatch.delitem(sys.modules, f"experiments.{module}", raising=False)  # as ``python -m``, which imports it again
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"experiments.{module}", run_name="__main__", alter_sys=True)
    assert not ended.value.code
    shown, err = capsys.readouterr()
    assert err == "" and f"usage: python -m experiments.{module} " in shown
    machine = {config.flag(field.name) for field in dataclasses.fields(config.Machine)}
    suppressed = {"--strategy", "--target", "--seed", "--resume", *machine, *not_there}
    for name in config.flat(config.RunConfig()):
        flag = config.flag(name)
        assert (f" {flag} " in shown or f" {flag}." in shown) == (flag not in suppressed), flag
    for flag in ["--strategies", "--targets", "--seeds", "--vectorize-seeds", "--executor", *own]:
        assert (f" {flag} " in shown) == (flag not in suppressed), flag
