"""Which learning rate is chosen, and what is compared at that rate."""

import json
import re
import statistics

import pytest

from dg_jax import run
from experiments.finetune import __main__ as finetune
from experiments.finetune import validations
from tests.analysis.made_accuracies import parse_markdown
from tests.experiments import made_runs

pytestmark = pytest.mark.slow


FLAGS = (
    "--dataset=emoji",
    *("--domains", *made_runs.DOMAINS, "--strategies", "deep_all", "agr_sum", "--targets", "windows"),
    *("--weights=w-{seed}.safetensors", "--learning-rates", "0.05", "1e-3"),
)
TINY = ("--iterations=6", "--val-every=2", "--batch-size=4", "--image-size=8", "--seeds=2")


def test_all_files_have_the_numbers_on_disk_at_the_chosen_rates(monkeypatch, command, tmp_path):
    made_runs.small(monkeypatch)
    drawn = {}
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: drawn.update({path.name: figure}))
    monkeypatch.setattr("dg_jax.models.weights.identify", str)
    monkeypatch.setattr(run, "check_unseen", lambda config: None)
    code, out, err = command(finetune, *FLAGS, *TINY, "--vectorize-seeds")
    assert code == 0
    folder = tmp_path / "results/finetune/emoji"
    names = ["figure3", "over-validation", "over-validation-5e-2", "over-validation-1e-3"]
    pictures = [f"{name}.{end}" for name in names for end in ("png", "pdf")]
    assert err == f"written to {folder}: {', '.join(['finetune.md', 'table1.tex', 'table1.csv', *pictures])}\n"
    assert sorted(drawn) == sorted(pictures)

    stored, histories = {}, {}
    for rate in ("5e-2", "1e-3"):
        for method in ("deep_all", "agr_sum"):
            for seed in range(2):
                path = folder / f"learning-rate-{rate}/emoji/windows/{method}/seed-{seed}"
                result = json.loads((path / "result.json").read_text())
                assert result["weights_sha256"] == f"w-{seed}.safetensors"
                noted = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
                assert noted[-1]["watched"] == {"target": result["test_accuracy_last"]}
                stored[rate, method, seed] = result
                histories[rate, method, seed] = validations.History(
                    *([line[name] for line in noted] for name in ("step", "val_accuracy")),
                    [line["watched"]["target"] for line in noted],
                )

    rates, table, *_ = parse_markdown(out)
    matched = parse_markdown(out[out.index("### On the target when") :])[0]
    assert rates[0] == ["target", "method", "5e-2", "1e-3"]
    assert table[0] == matched[0] == ["target", "deep_all", "agr_sum"]
    chosen = {}
    for (_, method, *cells), column in zip(rates[1:], (1, 2), strict=True):
        means = {
            rate: statistics.fmean(stored[rate, method, seed]["val_accuracy"] for seed in range(2))
            for rate in ("5e-2", "1e-3")
        }
        assert [cell.strip("*") for cell in cells] == [f"{100 * mean:.2f}" for mean in means.values()]
        [chosen[method]] = [rate for rate, cell in zip(means, cells, strict=True) if cell.startswith("**")]
        assert means[chosen[method]] == max(means.values())
        tested = statistics.fmean(stored[chosen[method], method, seed]["test_accuracy"] for seed in range(2))
        assert re.match(r"(\*\*)?" + re.escape(f"{100 * tested:.2f} ("), table[1][column])
    of_chosen = {
        "windows": {
            method: {seed: histories[rate, method, seed] for seed in range(2)} for method, rate in chosen.items()
        }
    }
    for method, seeds in validations.matched(of_chosen)["windows"].items():
        mean = statistics.fmean(seeds.values())
        assert f"{100 * mean:.2f} (" in matched[1][matched[0].index(method)]


def test_the_rate_is_chosen_by_validation_for_each_target_and_method_over_the_seeds_that_all_rates_have():
    validation = {
        1e-3: {"a": {"x": {0: 0.5, 1: 0.6}, "y": {0: 0.3}}, "b": {"x": {0: 0.2}, "y": {0: 0.5}}},
        1e-4: {"a": {"x": {0: 0.7, 1: 0.3}, "y": {0: 0.4}}, "b": {"x": {0: 0.1}, "y": {0: 0.5}}},
    }
    assert finetune.chosen_rates(validation) == {"a": {"x": 1e-3, "y": 1e-4}, "b": {"x": 1e-3, "y": 1e-4}}
    validation[1e-3]["a"]["x"].pop(1)  # now seed 0 alone decides
    assert finetune.chosen_rates(validation)["a"]["x"] == 1e-4
    assert finetune.of_chosen(validation, {"a": {"x": 1e-4}}) == {"a": {"x": {0: 0.7, 1: 0.3}}}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning-rates"], "--learning-rates: give at least one number"),
        (["--learning-rates", "1e-3", "1e-3"], "--learning-rates names one twice: 0.001 0.001"),
        (["--learning-rates", "0"], "--learning-rate=0.0: give a positive number"),
        (["--weights=None"], "--weights: name what to fine-tune; python -m experiments.pretrain makes such files"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(made, command, tmp_path, flags, message):
    code, out, err = command(finetune, *FLAGS, *flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not made.done and not (tmp_path / "results").exists()
