"""A whole search on a few digits: the runs, side by side as well, and the files."""

import dataclasses
import shutil

import numpy as np
import pytest

from dg_jax.data import dataset, registry
from experiments.domainbed import __main__ as domainbed
from experiments.domainbed import records, runs
from tests.data import idx_files


@pytest.fixture
def few_digits(tmp_path, monkeypatch):
    """The first 70 pictures of each part, of a folder that has MNIST's form."""
    idx_files.write(tmp_path)
    build = registry.builder_of

    def few(name):
        def load(parts, seed, data_dir):
            whole = build(name)(parts, seed, data_dir=data_dir)
            domains = {
                domain: {part: dataset.Part(*(leaf[:70] for leaf in of_part)) for part, of_part in of_domain.items()}
                for domain, of_domain in whole.domains.items()
            }
            return dataclasses.replace(whole, domains=domains)

        return load

    monkeypatch.setattr(registry, "builder_of", few)
    runs._all_parts.cache_clear()
    yield tmp_path
    runs._all_parts.cache_clear()


def flags(folder, out, *more):
    small = ["--iterations=4", "--val-every=2", "--model=mlp", "--trials=1", "--data-seeds=1"]
    return [f"--data-dir={folder}", f"--results-dir={out}", "--strategies", "deep_all", "agr_sum", *small, *more]


def test_a_search_writes_tables_that_can_be_made_again(few_digits, tmp_path, capsys):
    assert domainbed.main(flags(few_digits, tmp_path / "out", "--compare-published")) == 0
    printed = capsys.readouterr().out
    assert "Selected by leaving out one more domain" in printed and "ERM" in printed
    folder = tmp_path / "out" / "domainbed"
    found = records.read(folder / "colored_mnist.jsonl")
    assert len(found) == 2 * (3 + 3)
    assert {one.held_out for one in found} >= {("-90%",), ("+90%", "+80%")}
    assert all(one.steps == [2, 4] and len(one.target_validation) == 2 for one in found)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copied = shutil.copy(folder / "colored_mnist.jsonl", elsewhere / "mine.jsonl")
    assert domainbed.main([f"--recompute={copied}", "--compare-published"]) == 0
    assert capsys.readouterr().out == printed
    assert {path.name for path in elsewhere.iterdir()} == {"mine.jsonl", "mine.md", "mine.csv"}
    assert (elsewhere / "mine.csv").read_text() == (folder / "colored_mnist.csv").read_text()
    for flag in ("--dry-run", "--trials=7", "--iterations=9"):
        assert domainbed.main([f"--recompute={copied}", flag]) == 2
        name = flag.partition("=")[0]
        assert f"error: {name} would change nothing beside --recompute" in capsys.readouterr().err


def test_runs_side_by_side_are_those_one_by_one(few_digits, tmp_path, capsys):
    for name, more in (("alone", ()), ("together", ("--side-by-side",))):
        assert domainbed.main(flags(few_digits, tmp_path / name, *more)) == 0
    alone, together = (
        records.read(tmp_path / name / "domainbed" / "colored_mnist.jsonl") for name in ("alone", "together")
    )
    for one, other in zip(alone, together, strict=True):
        assert (one.held_out, one.method) == (other.held_out, other.method)
        for ours, theirs in (
            (one.validation, other.validation),
            (one.target_validation, other.target_validation),
            *((one.held_out_accuracy[domain], other.held_out_accuracy[domain]) for domain in one.held_out),
        ):
            np.testing.assert_allclose(ours, theirs, atol=0.03)  # two pictures of 70


def test_a_dry_run_counts_and_does_nothing(few_digits, tmp_path, capsys):
    more = ("--dry-run", "--trials=2", "--dataset=rotated_mnist")
    assert domainbed.main(flags(few_digits, tmp_path / "out", *more)) == 0
    printed = capsys.readouterr().out
    assert "84 runs, 0 of them done; 60 without a pair of domains" in printed  # 2 x 2 x (6 + 15)
    assert "8 groups" in printed and "hours" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--trials=0"], "--trials=0: give a whole number from 1 to 1000"),
        (["--data-seeds=-1"], "--data-seeds=-1: give a whole number from 1 to 1000"),
        (["--dataset=emoji"], "--dataset=emoji: the ranges are those for digits"),
        (["--preset=paper"], "--preset=paper: the settings are DomainBed's; leave it out"),
        (["--batch-size=8"], "--batch-size=8: each trial draws its own; leave it out"),
        (["--irm.penalty-weight=3"], "--irm.penalty-weight: each trial draws its own; leave it out"),
        (["--cagrad.c=0.3"], "--cagrad is set, but none of --strategies uses it; leave it out"),
        (["--targets", "-90%", "-90%"], "--targets names one twice"),
        (["--domains", "+90%", "-90%"], "--rules leave_one_out: --domains +90% -90% has no domain"),
        (["--domains", "+90%", "-90%", "--compare-published"], "--compare-published: DomainBed's tables are of all"),
        (["--rules"], "--rules: name at least one"),
        (["--strategies"], "--strategies: name at least one"),
        (["--recompute=missing.jsonl"], "--recompute=missing.jsonl cannot be read"),
        (["--data-dir=missing"], "--data-dir=missing"),
        ([], "--dataset=colored_mnist is made from MNIST's files: --data-dir=FOLDER"),
    ],
)
def test_bad_input_is_one_line(more, said, capsys):
    assert domainbed.main(more) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: mldg")]
    assert line.startswith("error: ") and said in line
