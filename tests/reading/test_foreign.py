import os

import pytest

from dg_jax.reading import foreign


def test_text_of_a_regular_file(tmp_path):
    file = tmp_path / "text"
    file.write_text("ä\n")
    assert foreign.text(file) == "ä\n" and foreign.content(file) == b"\xc3\xa4\n"


def test_a_file_that_is_too_large_or_not_text_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="utf-8"):
        foreign.text(file)
    with pytest.raises(ValueError, match="2 bytes, more than 1"):
        foreign.content(file, most_bytes=1)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ValueError, match="no regular file"):
            foreign.content(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        foreign.content(tmp_path / "missing")


@pytest.mark.parametrize("text", ["NaN", "[1, Infinity]", '{"a": -Infinity}', "[" * 100_000, "{", ""])
def test_text_that_is_not_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 (the standard library's words change)
        foreign.parse_json(text)


def test_json_is_parsed():
    assert foreign.parse_json('{"a": [1, 2.5, null, "x"]}') == {"a": [1, 2.5, None, "x"]}
