import pytest

from dg_jax.analysis import markdown


def test_names_to_the_left_and_numbers_to_the_right():
    assert markdown.table(["a", "b", "c"], [["1", "2", "3"]], num_names=2).splitlines() == [
        "| a | b | c |",
        "| --- | --- | ---: |",
        "| 1 | 2 | 3 |",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>", "&lt;b>"),
        ("`x`*[y]", r"\`x\`\*\[y\]"),
        ("a\nb", r"a\\nb"),
        ("&", "&amp;"),
    ],
)
def test_a_name_is_no_markup(name, shown):
    assert markdown.escape(name) == shown
