import pytest

from dg_jax.analysis import notes, render, table
from tests.analysis import made_accuracies
from tests.analysis.made_accuracies import METHODS, TARGETS


@pytest.fixture
def summary():
    accuracies = made_accuracies.make()
    del accuracies["sketch"]["mixup"][3]
    del accuracies["photo"]["irm"]
    return table.summarize(accuracies, METHODS, TARGETS)


def test_notes_name_the_exceptions(summary):
    text = "\n".join(notes.of(summary))
    assert "over 20 seeds (mixup on sketch: 19);" in text
    assert "Each test rests on 20 pairs (mixup on sketch: 19)." in text
    assert "Seeds that only one of the two methods has are in no pair: mixup on sketch: 3." in text
    assert "The average leaves out targets that lack a run of some method: photo." in text
    assert "no star could appear" not in text


@pytest.mark.parametrize(("num_seeds", "said"), [(5, True), (6, False)])
def test_notes_say_that_no_star_could_appear(num_seeds, said):
    accuracies = {"t": {"deep_all": dict.fromkeys(range(num_seeds), 0.5), "a": dict.fromkeys(range(num_seeds), 0.6)}}
    summary = table.summarize(accuracies, ["deep_all", "a"], ["t"])
    line = "With fewer than 6 pairs that differ, p cannot be below 0.05: no star could appear."
    assert (line in notes.of(summary)) == said
    assert (r"\*" in made_accuracies.parse_markdown(render.to_markdown(summary))[0][1][2]) == (not said)


def test_notes_name_those_that_could_have_no_star():
    seeds = range(6)
    row = {"deep_all": dict.fromkeys(seeds, 0.5), "a": dict.fromkeys(seeds, 0.6), "b": dict.fromkeys(seeds, 0.5)}
    row["c"] = {0: 0.7, 1: 0.8, 8: 0.9, 9: 0.9, 10: 0.9, 12: 0.9}
    row["d"] = {7: 0.1}
    text = "\n".join(notes.of(table.summarize({"t": row}, list(row), ["t"])))
    assert "no star could appear for b on t (0); c on t (2)." in text
    assert "are in no pair: c on t: 2 to 5, 8 to 10, 12." in text
    assert "Not tested, having no seed in common with deep_all: d on t." in text
