"""The shortcut study: tiny real runs test what runs see, made-up ones what is refused."""

import csv
import io
import json

import numpy as np
import pytest

from dg_jax import run
from dg_jax.config import changed
from experiments.shortcut_control import __main__ as shortcut_control
from experiments.shortcut_control import squares as squares_of
from tests.experiments import made_runs
from tests.training import worlds

pytestmark = pytest.mark.usefixtures("quick_steps")

FLAGS = ("--domains", *made_runs.DOMAINS, "--strategies", "deep_all", "agr_sum", "--targets", "windows")
TINY = (
    "--dataset=emoji",
    "--iterations=4",
    "--val-every=2",
    "--batch-size=4",
    "--image-size=8",
    "--learning-rate=0.05",
    "--seeds=2",
)


def test_runs_see_the_squares_and_the_files_have_the_numbers_on_disk(monkeypatch, command, tmp_path):
    made_runs.small(monkeypatch)
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    seen = []
    add = squares_of.add

    def spied(data, target, strength, seed):
        seen.append((target, strength, seed))
        return add(data, target, strength, seed)

    monkeypatch.setattr(squares_of, "add", spied)
    flags = [*FLAGS, *TINY, "--strengths", "0.5", "1", "--vectorize-seeds"]
    code, out, err = command(shortcut_control, *flags)
    assert code == 0
    assert seen == [("windows", strength, seed) for strength in (0.5, 1.0) for seed in (0, 1)]
    folder = tmp_path / "results/shortcut_control/emoji"
    assert err == f"written to {folder}: shortcut.md, shortcut.csv, shortcut.png, shortcut.pdf\n"
    assert (folder / "shortcut.md").read_text() == out.removesuffix("\n")
    lines = list(csv.DictReader(io.StringIO((folder / "shortcut.csv").read_text())))
    assert len(lines) == (3 + 2 + 1) * 2 * 2
    for line in lines:
        values = []
        for seed in range(2):
            path = folder / f"strength-{float(line['strength']):g}/emoji/windows/{line['method']}/seed-{seed}"
            result = json.loads((path / "result.json").read_text())
            assert json.loads((path / "config.json").read_text())["strength"] == float(line["strength"])
            noted = [json.loads(text) for text in (path / "metrics.jsonl").read_text().splitlines()]
            [squares] = [one["watched"] for one in noted if one["step"] == result["selected_step"]]
            assert list(squares) == ["apple", "google"]
            mean = (squares["apple"] + squares["google"]) / 2
            values.append(
                {
                    "target": result["test_accuracy"],
                    "validation": result["val_accuracy"],
                    "shortcut": mean,
                    "lean": mean - result["test_accuracy"],
                    **{f"shortcut of {source}": accuracy for source, accuracy in squares.items()},
                }[line["measure"]]
            )
        assert float(line["mean"]) == pytest.approx(np.mean(values), abs=1e-12)

    monkeypatch.setattr(run, "load", None)  # nothing is opened, as nothing is done again
    assert command(shortcut_control, *flags)[:2] == (0, out)


def test_pictures_are_those_of_the_strength(monkeypatch):
    made_runs.small(monkeypatch)
    settings = changed(
        shortcut_control.ShortcutControl(targets=("windows",), strategies=("agr_sum",), strengths=(0.0, 1.0), seeds=1),
        domains=made_runs.DOMAINS,
    )
    never, always = (shortcut_control.load(one) for one in shortcut_control.configs(settings))
    code = squares_of.codes(made_runs.DOMAINS, 3, 0)["apple"]
    plain = worlds.tiny_dataset(seed=0).domains["apple"]["train"]
    for data, expected in ((never, 0), (always, 1)):
        part = data.domains["apple"]["train"]
        right = np.all(part.image[:, 0, 0] == squares_of.colours(3)[code[part.label]], axis=1)
        assert right.mean() == expected
        np.testing.assert_array_equal(part.image[:, 2:], plain.image[:, 2:])


def test_a_run_without_notes_is_left_out(monkeypatch, command, tmp_path):
    made_runs.small(monkeypatch)
    monkeypatch.setattr("dg_jax.analysis.figures.save", lambda figure, path: path.touch())
    flags = [*FLAGS, *TINY, "--strengths", "1", "--vectorize-seeds"]
    assert command(shortcut_control, *flags)[0] == 0
    damaged = tmp_path / "results/shortcut_control/emoji/strength-1/emoji/windows/agr_sum/seed-1/metrics.jsonl"
    damaged.write_text('{"step": 2')
    code, out, err = command(shortcut_control, *flags)
    assert code == 0 and "Seeds in a cell: 1, 2." in out
    assert err.startswith(f"warning: left out: {damaged} is damaged (damaged lines, 1 in number)")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strengths"], "--strengths: give at least one number"),
        (["--strengths", "0.5", "1.5"], "--strengths 1.5: give shares from 0 to 1"),
        (["--strengths", "nan"], "--strengths nan: give shares from 0 to 1"),
        (["--strengths", "0.5", "0.5"], "--strengths names one twice: 0.5 0.5"),
        (["--targets", "moon"], "unknown --target"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_writes_nothing(made, command, tmp_path, flags, message):
    code, out, err = command(shortcut_control, *FLAGS, *flags)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not made.done and not (tmp_path / "results").exists()
