import dataclasses
from typing import Literal

import pytest

from dg_jax import config, errors, run
from dg_jax.command_line import flags


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Some flags."""

    kind: Literal["one_way", "another"] = "another"
    """Which kind."""
    count: int = 1
    """How many."""


@pytest.mark.parametrize("given", [["--kind=OneWay"], ["--kind", "one-way"], ["--kind", "ONE_WAY"], ["--kind=one_way"]])
def test_choices_are_understood_in_any_writing(given):
    assert flags.cli(Arguments, given) == Arguments("one_way")
    assert flags.cli(Arguments, [*given, "--count=3"]) == Arguments("one_way", 3)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--preset=Paper", {"preset": "paper"}),
        ("--batches=Single-Domain", {"batches": "single_domain"}),
        ("--gradients=Accumulated", {"gradients": "accumulated"}),
        ("--agr-sum.zeros=Conflict", {"agr_sum": {"zeros": "conflict"}}),
        ("--agr_sum.zeros=CONFLICT", {"agr_sum": {"zeros": "conflict"}}),
        ("--lr=0.5", {"learning_rate": 0.5}),
        ("--wd=0.5", {"weight_decay": 0.5}),
    ],
)
def test_flags_of_a_run_lie_flat(given, wanted):
    assert config.flat(run.parse([given])).items() >= wanted.items()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--knd=another"], "unknown flag --knd=another; did you mean --kind?"),
        (["--kind=thrid"], "invalid choice 'thrid' for argument '--kind'. Expected one of ('one_way', 'another')."),
        (["--count=x"], "--count"),
        (["--count"], "--count"),
        (["--zzz"], "unknown flag --zzz"),
    ],
)
def test_what_is_wrong_is_one_line(given, message):
    with pytest.raises(errors.UserError) as raised:
        flags.cli(Arguments, given)
    line = str(raised.value)
    assert message in line and line.endswith("(--help shows all flags)") and "\n" not in line


def test_a_value_that_looks_like_a_choice_of_another_flag_stays_as_it_is():
    assert run.parse(["--results-dir", "Paper"]).output.results_dir.name == "Paper"
