import dataclasses

import pytest

from dg_jax import errors
from experiments.domainbed import records
from tests.experiments.domainbed import made_records


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "colored_mnist.jsonl"
    path.write_text(records.to_lines(made_records.search()))
    assert records.read(path) == made_records.search()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("{}\n", "line 1"),
        ("no JSON\n", "line 1"),
        (records.to_lines([made_records.record(("+90%",))]) + "[1]\n", "line 2"),
        (
            records.to_lines([dataclasses.replace(made_records.record(("+90%",)), validation=[0.5])]),
            "line 1: its lists are not equally long",
        ),
    ],
)
def test_another_file_is_one_line(text, said, tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=said):
        records.read(path)
