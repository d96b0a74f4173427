"""Finds the values in a JSON text that is not complete yet.

The texts are bytes decoded as Latin-1, so that their positions are those of the bytes; all of JSON's punctuation is
ASCII.
"""

from __future__ import annotations

import json
import re
from typing import Final

from ..errors import ResponseDecodeError

_skip_whitespace: Final = re.compile(r"[ \t\n\r]*").match
_scan_value: Final = json.JSONDecoder().raw_decode


def items_start(text: str) -> int | None:
    """The position after the opening bracket of the items: *text* is their array, or an object with ``items``.

    ``None`` if *text* ends before that, or is something else.
    """
    start = _next(text, 0)
    if text.startswith("[", start):
        return start + 1
    return _find_items(text, start + 1) if text.startswith("{", start) else None


def complete_items(text: str) -> tuple[int, int]:
    """The positions of the last comma after an item, and after the last complete item, in *text* of an array.

    0 for a position that does not exist.
    """
    comma = end = 0
    try:
        while True:
            _, end = _value(text, comma + 1 if comma else 0)
            if text[end] != ",":
                break
            comma = end
    except (ValueError, IndexError):  # incomplete
        pass
    return comma, end


def repeats_items(text: str) -> bool:
    """Whether there is a second array ``items`` in *text*, the rest of an object whose first one is not closed yet."""
    _, end = complete_items(text)
    comma = _next(text, end + 1)
    return text.startswith(",", comma) and _find_items(text, comma + 1) is not None


def _find_items(text: str, position: int) -> int | None:
    """The position after the bracket of the array ``items``, among the fields from *position* on."""
    try:
        while True:
            name, colon = _value(text, position)
            if text[colon] != ":":
                return None
            start = _next(text, colon + 1)
            if name == "items" and text[start] == "[":
                return start + 1
            _, comma = _value(text, start)
            if text[comma] != ",":
                return None
            position = comma + 1
    except (ValueError, IndexError):  # incomplete
        return None


def _value(text: str, position: int) -> tuple[object, int]:
    """The value at *position*, and where the next character after it is that is not white space."""
    try:
        value, end = _scan_value(text, _next(text, position))
    except RecursionError:
        raise ResponseDecodeError("the body is not JSON: nested too deeply") from None
    return value, _next(text, end)


def _next(text: str, position: int) -> int:
    """Where the next character is that is not white space; the length of *text* if there is none."""
    found = _skip_whitespace(text, position)
    return found.end() if found else len(text)
