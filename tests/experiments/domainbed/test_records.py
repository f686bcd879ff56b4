import dataclasses
import json

import pytest

from dg_jax import errors
from experiments.domainbed import records
from tests.experiments.domainbed import made_records


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "colored_mnist.jsonl"
    path.write_text(records.to_lines(made_records.search()))
    assert records.read(path) == made_records.search()


def line(**changed):
    return json.dumps({**dataclasses.asdict(made_records.record(("+90%",))), **changed}) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{}\n", "line 1: no object with dataset, domains"),
        ("no JSON\n", "line 1"),
        (line() + "[1]\n", "line 2: no object"),
        (line(dataset="../../evil"), "line 1: dataset is not"),
        (line(domains="abc"), "domains is not"),
        (line(held_out=["zz"]), "held_out is not"),
        (line(held_out=["+90%", "+90%"]), "held_out is not"),
        (line(trial="0"), "trial is not"),
        (line(data_seed=-1), "data_seed is not"),
        (line(method=3), "method is not"),
        (line(settings="x"), "settings is not"),
        (line(steps=[]), "steps is not"),
        (line(validation=[0.5]), "validation is not"),
        (line(validation=["a", "b"]), "validation is not"),
        (line(held_out_accuracy={"+90%": [50.0, 70.0]}), "held_out_accuracy is not"),
        (line(held_out_accuracy={}), "held_out_accuracy is not"),
        (line(target_validation=[]), "target_validation is not"),
        (line() + line(), "line 2: a run that is there already"),
        (line() + line(dataset="rotated_mnist", domains=["0°"], held_out=["0°"]), "line 2"),
        (line() + line(domains=["+90%", "-90%"]), "line 2: another dataset or other domains"),
    ],
)
def test_another_or_a_damaged_file_is_one_line(text, said, tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=said) as raised:
        records.read(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(errors.UserError, match="cannot be read"):
        records.read(tmp_path / "missing.jsonl")
