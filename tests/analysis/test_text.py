import hypothesis
import pytest
from hypothesis import strategies as some

from dg_jax.analysis import text


@hypothesis.given(some.text())
def test_whatever_the_name_it_can_be_shown(name):
    shown = text.printable(name)
    assert all(letter.isprintable() for letter in shown)
    assert text.printable(shown) == shown
    if name.isprintable():
        assert shown == name


@pytest.mark.parametrize("count", [0, 1, 10, 11, 300])
def test_ten_items_are_listed_and_how_many_more_there_are(count):
    listed = text.listed([f"<{i}>" for i in range(count)])
    assert listed.count("<") == min(count, 10)
    assert listed.endswith(f"(and {count - 10} more)") == (count > 10)


def test_a_long_name_loses_its_middle():
    shown = text.printable("a" * 5000 + "b" * 5000)
    assert len(shown) < 4100 and shown.startswith("aaa") and shown.endswith("bbb") and " ... " in shown
