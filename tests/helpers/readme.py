"""Reads the README and the docstrings for the tests: headings, links, tables, and the examples in fenced blocks."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

import aidp_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = Path(aidp_sessions.__file__).parent
TEXT: Final = (ROOT / "README.md").read_text(encoding="utf-8")

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(?P<level>#+) (?P<title>.+)$", re.MULTILINE)
_CELL_BORDER = re.compile(r"(?<!\\)\|")


@attrs.frozen
class Block:
    """A fenced block.

    Attributes:
        place: file and line of its opening fence.
        heading: the last one before it, in the README.
    """

    language: str
    code: str
    place: str
    heading: str = ""


def blocks() -> Iterator[Block]:
    """Yield the blocks of the README."""
    for found in _BLOCK.finditer(TEXT):
        above = _HEADING.findall(_without_code(TEXT[: found.start()]))
        yield Block(found["language"], found["code"], _place("README.md", found), above[-1][1])


def docstring_blocks() -> Iterator[Block]:
    """Yield the blocks in the docstrings of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for found in _BLOCK.finditer(path.read_text(encoding="utf-8")):
            name = path.relative_to(PACKAGE).as_posix()
            yield Block(found["language"], textwrap.dedent(found["code"]), _place(name, found))


def _place(name: str, found: re.Match[str]) -> str:
    return f"{name}:{found.string.count(chr(10), 0, found.start()) + 1}"


def headings(level: int) -> list[str]:
    return [title for marks, title in _HEADING.findall(_without_code(TEXT)) if len(marks) == level]


def section(title: str) -> str:
    """Everything under the heading *title*, up to the next heading of the same or a higher level."""
    text = _without_code(TEXT)
    (start,) = (found for found in _HEADING.finditer(text) if found["title"] == title)
    level = len(start["level"])
    ends = (found.start() for found in _HEADING.finditer(text, start.end()) if len(found["level"]) <= level)
    return text[start.end() : next(ends, None)]


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section, each as the cells of its rows, the heading first."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", section(title), re.MULTILINE)
    return [[_cells(row) for row in table.splitlines() if set(row) - set("|-: ")] for table in found]


def anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def links(text: str = TEXT) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", _without_code(text))


def code_of(cell: str) -> str:
    """The text of a cell between backticks."""
    return cell.strip().removeprefix("`").removesuffix("`").replace("\\|", "|")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _CELL_BORDER.split(row)[1:-1]]


def _without_code(text: str) -> str:
    return _BLOCK.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
