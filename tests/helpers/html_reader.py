"""Reads HTML with the standard library's parser: texts, tables, and every element."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

import attrs

VOID: Final = {"meta", "rect", "input"}
_IN_CELLS: Final = {"span", "small"}


@attrs.define
class Table:
    caption: str = ""
    head: list[str] = attrs.field(factory=list)
    rows: list[list[str]] = attrs.field(factory=list)


class Document(HTMLParser):
    """A document whose elements are all closed in order; anything else fails.

    Attributes:
        elements: each element's name and attributes, in order.
        texts: the texts outside tables, by the element's name.
        tables: the texts of the tables; a cell with several elements has one line for each.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: list[Table] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr" and "tbody" in self._open:
            self.tables[-1].rows.append([])
        elif tag in ("th", "td"):
            self._cells().append("")
        elif tag in _IN_CELLS and self._in_cell():
            self._cells()[-1] += "\n" if self._cells()[-1] else ""
        else:
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        tag = self._open[-1] if self._open else ""
        if self._in_cell():
            self._cells()[-1] += data
        elif tag == "caption":
            self.tables[-1].caption += data
        elif tag in self.texts:
            self.texts[tag][-1] += data
        else:
            assert data.isspace()

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def _in_cell(self) -> bool:
        return not {"th", "td"}.isdisjoint(self._open)

    def _cells(self) -> list[str]:
        return self.tables[-1].rows[-1] if "tbody" in self._open else self.tables[-1].head
