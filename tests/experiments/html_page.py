"""Reads an HTML page for tests, and fails if it is not well-formed."""

import html.parser
from typing import NamedTuple

VOID = {"meta", "link"}


class Table(NamedTuple):
    """A table's header and rows, as text."""

    header: list[str]
    rows: list[list[str]]


class Page(html.parser.HTMLParser):
    """The content of a page.

    Attributes:
        tags: names and attributes of all elements, in order.
        tables: caption -> table.
        texts: name of an element -> the texts of all such elements, of inner elements only those of strong and span.
    """

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, Table] = {}
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, list[str]]] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, []))
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        opened, texts = self._open.pop()
        assert opened == tag, f"</{tag}> ends <{opened}>"
        text = "".join(texts)
        self.texts.setdefault(tag, []).append(text)
        if tag in ("strong", "span"):
            self._open[-1][1].append(text)
        elif tag in ("th", "td"):
            self._rows[-1].append(text)
        elif tag == "caption":
            self._caption = text
        elif tag == "table":
            assert self._caption not in self.tables
            self.tables[self._caption] = Table(self._rows[0], self._rows[1:])

    def handle_data(self, data):
        if self._open:
            self._open[-1][1].append(data)
        else:
            assert not data.strip(), f"text outside of <html>: {data!r}"
