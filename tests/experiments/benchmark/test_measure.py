"""The arithmetic of the measurements, with clocks that show made-up times."""

import json
import statistics

import pytest

from dg_jax import errors
from experiments.benchmark import measure, report


class Clock:
    """A clock that moves only while a contender runs or rests."""

    def __init__(self):
        self.now = 100.0
        self.calls = []

    def contender(self, name, durations):
        durations = iter(durations)

        def call():
            self.calls.append(name)
            self.now += next(durations)

        return call

    def measured(self, repetitions, **durations):
        contenders = {name: self.contender(name, values) for name, values in durations.items()}
        return measure.alternate(contenders, repetitions, clock=lambda: self.now, rest=self.rest)

    def rest(self):
        self.now += 1000
        self.calls.append("rest")


def test_contenders_take_turns_and_the_warm_up_does_not_count():
    clock = Clock()
    seconds = clock.measured(3, ours=[50, 1, 2, 4], rival=[70, 3, 8, 5])
    assert seconds["ours"].values == pytest.approx((1, 2, 4))
    assert seconds["rival"].values == pytest.approx((3, 8, 5))
    assert [call for call in clock.calls if call != "rest"] == [
        *["ours", "rival"] * 2,
        "rival",
        "ours",
        "ours",
        "rival",
    ]
    assert clock.calls.count("rest") == 6


def test_median_and_spread_of_times_and_of_ratios_by_repetition():
    ours, rival = measure.Spread((1.0, 2.0, 4.0)), measure.Spread((3.0, 8.0, 5.0))
    ratio = measure.ratio(rival, ours)
    assert (ours.median, ours.lowest, ours.highest) == (2, 1, 4)
    assert ratio.values == (3, 4, 1.25)
    assert ratio.median == 3 != statistics.median(rival.values) / statistics.median(ours.values)
    assert measure.rate(12, ours).values == (12, 6, 3)
    assert measure.each(ours, 4).values == (0.25, 0.5, 1)


@pytest.mark.parametrize("difference", [0.2, float("nan")])
def test_different_results_are_not_compared(difference):
    measure.check_difference("x", 0.1, 0.1)
    with pytest.raises(errors.UserError, match="x: ours and the rival differ"):
        measure.check_difference("x", difference, 0.1)


def test_report_as_markdown_and_json(tmp_path, capsys):
    spread = measure.Spread((0.25, 0.125, 0.5))
    columns = [report.Column("what", "what"), report.Column("ours", "ours, ms", 1e3), report.Column("other", "other")]
    table = report.Table("times", "A caption.", columns, [{"what": "a", "ours": spread}, {"what": "b", "other": 1234}])
    report.write("made_up", ["made_up", "--output=a b"], [table], tmp_path / "new" / "x.json")
    text = (tmp_path / "new" / "x.md").read_text()
    assert text.splitlines()[-5:] == [
        "",
        "| what | ours, ms | other |",
        "|---|---|---|",
        "| a | 250 (125 to 500) |  |",
        "| b |  | 1,234 |",
    ]
    assert text in capsys.readouterr().out
    written = json.loads((tmp_path / "new" / "x.json").read_text())
    assert written["command"] == "python -m experiments.benchmark made_up '--output=a b'"
    assert {"device", "cores", "load", "versions"} <= set(written["conditions"])
    assert written["tables"]["times"]["rows"][0]["ours"] == {
        "median": 0.25,
        "lowest": 0.125,
        "highest": 0.5,
        "values": [0.25, 0.125, 0.5],
    }
