"""Text that may hold foreign names, as a message, a table or a figure shows it."""

_LONGEST = 4000  # letters: ten names of the longest kind that file systems take


def listed(items: list[str]) -> str:
    """Returns the first ten of some items in one line, and how many more there are."""
    more = f" (and {len(items) - 10} more)" if len(items) > 10 else ""
    return "; ".join(items[:10]) + more


def printable(text: str) -> str:
    """Returns a text that may hold foreign names such that a terminal or a table can show it.

    Newlines, terminal escapes and whatever else is not to be seen (Unicode's separators but
    the space, controls, marks of direction, lone surrogates) are written as Python writes
    them; of what is longer than 4,000 letters the middle is left out.

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
