"""Methods do what they say: what is set by default, and what is refused because it would have no effect."""

import json

import pytest

from dg_jax import run
from experiments import table1

TINY = ["--batch-size=4", "--val-every=2", "--image-size=8", "--domains", "apple", "google", "windows"]


@pytest.fixture
def command(emoji_dir, tmp_path, capsys, quick_steps):
    """Calls a command line in this process: ``command(*flags) -> (exit code, stderr)``."""

    def call(*flags, program=run):
        places = [f"--prepared-dir={emoji_dir}", f"--results-dir={tmp_path / 'results'}"]
        code = program.main([*TINY, *places, "--iterations=4", *flags])
        return code, capsys.readouterr().err

    return call


def stored(tmp_path, name, strategy="irm", seed=0):
    return json.loads((tmp_path / f"results/emoji/windows/{strategy}/seed-{seed}/{name}.json").read_text())


def test_the_penalty_of_irm_sets_in_after_half_of_the_steps(command, tmp_path):
    losses = {}
    for weight in ("1", "1e4"):  # with 1 nothing changes at that step
        assert command("--strategy=irm", f"--irm.penalty-weight={weight}", "--overwrite") == (0, "")
        lines = (tmp_path / "results/emoji/windows/irm/seed-0/metrics.jsonl").read_text().splitlines()
        losses[weight] = [json.loads(line)["losses"] for line in lines]
        assert stored(tmp_path, "config")["irm"]["anneal_steps"] == 2
    before, after = zip(*losses.values(), strict=True)
    assert before[0] == before[1] and after[0] != after[1]


def test_a_run_of_irm_that_goes_on_keeps_the_annealing_that_it_began_with(command, tmp_path):
    command("--strategy=irm")
    assert command("--strategy=irm", "--resume", "--iterations=8") == (0, "")
    assert stored(tmp_path, "config")["irm"]["anneal_steps"] == 2
    expected = stored(tmp_path, "result")
    flags = ("--strategy=irm", "--iterations=8", "--irm.anneal-steps=2")
    assert command(*flags)[1].startswith("done already")
    assert command(*flags, "--overwrite")[0] == 0
    assert stored(tmp_path, "result")["test_loss"] == expected["test_loss"]
    code, err = command("--strategy=irm", "--resume", "--iterations=10", "--irm.anneal-steps=5")
    assert code == 2 and "--irm is {'penalty_weight': 100.0, 'anneal_steps': 5}, but the run in" in err


def test_a_run_of_irm_and_one_of_a_sweep_are_the_same_run(command):
    command("--strategy=irm")
    flags = ["--targets", "windows", "--strategies", "irm", "--seeds=1"]
    assert "written to" in command(*flags, program=table1)[1]
    assert command("--strategy=irm")[1].startswith("done already")


def test_mldg_pairs_as_its_flag_says(command, tmp_path):
    losses = {}
    for pairing, rows in (("split", 1), ("circle", 2)):
        assert command("--strategy=mldg", f"--mldg.pairing={pairing}", "--overwrite") == (0, "")
        assert stored(tmp_path, "config", "mldg")["mldg"]["pairing"] == pairing
        [line, _] = (tmp_path / "results/emoji/windows/mldg/seed-0/metrics.jsonl").read_text().splitlines()
        losses[pairing] = json.loads(line)["losses"]
        assert len(losses[pairing]) == rows


@pytest.mark.parametrize("steps", [4, 500])
def test_an_annealing_that_never_ends_is_refused(command, steps):
    code, err = command("--strategy=irm", f"--irm.anneal-steps={steps}")
    assert code == 2
    assert err == (
        f"error: --irm.anneal-steps={steps}: with --iterations=4 the penalty never sets in; "
        "give fewer, or leave it out for half of them\n"
    )
