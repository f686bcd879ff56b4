"""The spirals: what real runs must find, and what is refused."""

import csv
import io
import json

import pytest

from experiments.spirals import __main__ as spirals

QUICK = ("--iterations=4", "--val-every=2", "--batch-size=8", "--learning-rate-drop=3:0.5", "--seeds=2")


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_steps")
def test_a_scan_trains_with_each_value_and_writes_what_the_runs_found(monkeypatch, command, tmp_path):
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    flags = ["--strategies", "deep_all", "agr_sum", "--vectorize-seeds", *QUICK]
    code, out, err = command(spirals, *flags, "--scan=environments", "--values", "2", "3")
    assert code == 0
    folder = tmp_path / "results" / "spirals" / "environments"
    assert err.splitlines()[-1] == (
        f"written to {folder}: spirals.md, spirals.csv, agreement.png, agreement.pdf, scan.png, scan.pdf"
    )
    assert (folder / "spirals.md").read_text() == out.removesuffix("\n")
    found = rows(folder / "spirals.csv")
    assert len(found) == 2 * 2 * 2
    for row in found:
        run = folder / f"environments-{float(row['environments']):g}/spirals/random/{row['method']}/seed-{row['seed']}"
        result = json.loads((run / "result.json").read_text())
        names = {"validation": "val_accuracy", "test": "test_accuracy", "test_last": "test_accuracy_last"}
        assert {name: float(row[name]) for name in names} == {name: result[of] for name, of in names.items()}
        assert len(result["sources"]) == float(row["environments"])


@pytest.mark.slow
def test_agreement_finds_the_spiral_and_nothing_else_does(command, tmp_path, monkeypatch):
    """Ten seeds. Without weight decay the initial weights of the shortcuts stay, and Agr-Sum fails too."""
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    flags = ["--strategies", "deep_all", "agr_sum", "pcgrad", "--vectorize-seeds", "--seeds=10", "--batch-size=128"]
    assert command(spirals, *flags)[0] == 0
    found = rows(tmp_path / "results/spirals/none/spirals.csv")
    of = {name: [row for row in found if row["method"] == name] for name in ("deep_all", "agr_sum", "pcgrad")}
    assert sum(float(row["test_last"]) >= 0.95 for row in of["agr_sum"]) >= 9
    for name in ("deep_all", "pcgrad"):
        assert all(float(row["test_last"]) <= 0.6 and float(row["validation"]) >= 0.99 for row in of[name])
    control = ["--strategies", "agr_sum", *flags[4:], "--scan=weight_decay", "--values", "0"]
    assert command(spirals, *control)[0] == 0
    assert all(float(row["test_last"]) <= 0.65 for row in rows(tmp_path / "results/spirals/weight_decay/spirals.csv"))


@pytest.mark.parametrize("side_by_side", [[], ["--vectorize-seeds"]], ids=["one by one", "side by side"])
@pytest.mark.parametrize("scan", ["hidden_layers", "shortcut_weights"])
@pytest.mark.slow
@pytest.mark.usefixtures("quick_steps")
def test_a_scan_begins_with_the_network_of_its_value(scan, side_by_side, monkeypatch, command):
    """Though all values have the same seeds, for which networks are kept."""
    from dg_jax.training import step

    begun = set()
    make = step.make_trainer

    def noted(config, apply_fn, params, *others):
        begun.add((config.network.hidden_layers, len(params), bool(params["dense1"]["kernel"][2:].any())))
        return make(config, apply_fn, params, *others)

    monkeypatch.setattr(step, "make_trainer", noted)
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    values = {"hidden_layers": ("1", "2"), "shortcut_weights": ("0", "1")}[scan]
    flags = ["--strategies", "agr_sum", *side_by_side, *QUICK]
    assert command(spirals, *flags, f"--scan={scan}", "--values", *values)[0] == 0
    expected = {"hidden_layers": {(1, 2, True), (2, 3, True)}, "shortcut_weights": {(3, 4, False), (3, 4, True)}}
    assert begun == expected[scan]


@pytest.mark.slow
def test_regions_are_drawn_of_two_trained_networks(command, tmp_path):
    assert command(spirals, "--regions", "--iterations=20", "--learning-rate-drop=10:0.1", "--val-every=10")[0] == 0
    assert (tmp_path / "results/spirals/regions.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=emoji"], "--dataset=emoji: this experiment is on spirals; leave it out"),
        (["--scan=turns"], "--scan and --values need each other; give both or none"),
        (["--values", "3"], "--scan and --values need each other; give both or none"),
        (["--scan=turns", "--values", "1", "1"], "--values names one twice, in six digits: 1.0 1.0"),
        (["--scan=turns", "--values", "1.2345671", "1.2345672"], "--values names one twice, in six digits: 1.2345671 "),
        *(
            (["--scan=hidden_layers", "--values", "2", value], f"--values 2.0 {float(value)}: give numbers from 0 to ")
            for value in ("nan", "inf", "-1", "1e18")
        ),
        (["--scan=shortcut_weights", "--values", "1e40"], "--values 1e+40: give numbers from 0 to 1000000"),
        (["--scan=hidden_layers", "--values", "101"], "--hidden-layers=101: give a whole number from 1 to 100"),
        (
            ["--scan=hidden_layers", "--values", "1", "--hidden-layers=2"],
            "--hidden-layers is what --scan=hidden_layers ",
        ),
        (["--scan=batch_size", "--values", "8", "--batch-size=4"], "--batch-size is what --scan=batch_size changes"),
        (["--scan=turns", "--values", "0"], "--values 0: give turns above 0"),
        (
            ["--scan=environments", "--values", "17"],
            "--values 17: give whole numbers of at least 1, at most the 16 ",
        ),
        (["--scan=batch_size", "--values", "1.5"], "--values 1.5: give whole numbers of at least 1"),
        (["--scan=hidden_layers", "--values", "0"], "--values 0: give whole numbers of at least 1"),
        (["--scan=batch_size", "--values", "512"], "--batch-size=512 is larger than the training part of e01, 256"),
        (["--scan=learning_rate", "--values", "0"], "--learning-rate=0.0: give a positive number"),
        (["--regions", "--vectorize-seeds"], "--regions is one picture of two runs; leave --scan"),
        (["--model=small_cnn"], "--model=small_cnn takes RGB pictures, and --dataset=spirals is vectors; give "),
        (["--image-size=64"], "--image-size is for pictures, and --dataset=spirals is vectors; leave it out"),
        (["--learning-rate-drop=400:0.1"], "--learning-rate-drop=400:0.1 would change nothing, as the run ends after"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(command, tmp_path, flags, message):
    code, out, err = command(spirals, *flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not list((tmp_path / "results").rglob("*.json"))
