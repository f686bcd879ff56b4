import pytest

from dg_jax import errors
from experiments.finetune.validations import History
from experiments.styles import stored, studies

FOUND = {
    "two": {
        "fluent_high_contrast": {
            "deep_all": {0: History([20, 40], [0.5, 0.625], [0.25, 0.375]), 1: History([20], [0.5], [0.125])},
            "agr_sum": {0: History([20, 40], [0.5, 0.625], [0.75, 0.5])},
            "and_mask": {0: History([20], [0.5], [1.0])},
        }
    },
    "other_targets": {
        target: {method: {2: History([20], [0.5], [0.25])} for method in studies.methods("other_targets")}
        for target in studies.STUDIES["other_targets"].targets
    },
}
TEXT = stored.to_csv(FOUND)


def test_what_was_written_is_read_again(tmp_path):
    path = tmp_path / "validations.csv"
    path.write_text(TEXT)
    assert stored.read(path) == FOUND


def test_methods_are_in_the_order_of_the_study_whatever_the_order_of_the_lines(tmp_path):
    path = tmp_path / "validations.csv"
    header, *lines = TEXT.splitlines(keepends=True)
    path.write_text(header + "".join(sorted(lines, key=lambda line: line.split(",")[2])))
    [methods] = stored.read(path)["two"].values()
    assert list(methods) == ["deep_all", "agr_sum", "and_mask"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line is not study,target"),
        ("a,b\n", "its first line is not study,target"),
        ("\0", ""),
        (TEXT.splitlines()[0] + "\n", "it has no results"),
        (
            TEXT + "two,fluent_high_contrast,deep_all,0,60,0.5\n",
            "line 12 is 'two,fluent_high_contrast,deep_all,0,60,0.5'",
        ),
        (TEXT + "../three,line,deep_all,0,60,0.5,0.5\n", "line 12 is '../three"),
        (TEXT + "two,moon,deep_all,0,60,0.5,0.5\n", "line 12 is"),
        (TEXT + "two,fluent_high_contrast,mgda,0,60,0.5,0.5\n", "line 12 is"),
        (TEXT + "two,fluent_high_contrast,deep_all,-1,60,0.5,0.5\n", "line 12 is"),
        (TEXT + "two,fluent_high_contrast,deep_all,0,40,0.5,0.5\n", "line 12 is"),
        (TEXT + "two,fluent_high_contrast,deep_all,0,60,nan,0.5\n", "line 12 is"),
        (TEXT + "two,fluent_high_contrast,deep_all,0,60,0.5,7.5\n", "line 12 is"),
        (TEXT + "\n", "line 12 is ''"),
        (TEXT + "x" * 200_000, "field larger than field limit"),
        (
            TEXT[: TEXT.index("two,fluent_high_contrast,and_mask")],
            "study two has no seed of target fluent_high_contrast",
        ),
        (TEXT[: TEXT.index("other_targets,fluent_3d")], "study other_targets has no seed of target fluent_3d that all"),
    ],
)
def test_another_file_is_one_line(tmp_path, text, why):
    path = tmp_path / "validations.csv"
    path.write_text(text)
    with pytest.raises(
        errors.UserError, match=r"cannot be read: .*; leave --recompute out to make it from the runs"
    ) as said:
        stored.read(path)
    assert why in str(said.value)
    with pytest.raises(errors.UserError, match="cannot be read"):
        stored.read(tmp_path / "missing.csv")
