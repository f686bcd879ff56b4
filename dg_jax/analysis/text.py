"""Makes text with foreign names safe to show in messages, tables and figures."""

_LONGEST = 4000  # letters: room for ten names of the greatest length in file systems


def listed(items: list[str]) -> str:
    """Returns the first ten of some items in one line, and how many more there are."""
    more = f" (and {len(items) - 10} more)" if len(items) > 10 else ""
    return "; ".join(items[:10]) + more


def printable(text: str) -> str:
    """Returns a text in a form that a terminal or a table can show, whatever names are in it.

    Newlines, terminal escapes and all other invisible letters (Unicode's separators except the space, controls, marks
    of direction, lone surrogates) become Python's escapes. Text longer than 4,000 letters loses its middle.

    Example:
        >>> printable("cat\\x1b[2J\\n.jpg")
        'cat\\\\x1b[2J\\\\n.jpg'
    """
    shown = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in _cut(text))
    return _cut("".join(shown))


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST * 3 // 4]} ... {text[-_LONGEST // 5 :]}"
