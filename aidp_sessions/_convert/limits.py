"""Bounds the memory that an answer takes once it is decoded.

A Python object takes up to 240 bytes, however short its JSON is: a mebibyte of ``{},`` becomes 40 MiB of sessions. A
session with the documented fields takes about 350 bytes of JSON, and 900 as objects.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import ResponseDecodeError

MIN_OBJECT_BYTES: Final = 16
"""The least JSON for an object or array, on average: so objects take at most 25 times the memory of the answer."""

MAX_TINY_OBJECTS: Final = 1000  # so few do no harm, however small they are


def check_density(body: bytes | bytearray) -> None:
    """Refuse *body*, or the beginning of one, if it holds too many objects and arrays for its size."""
    if _is_too_many(_count_brackets(body), len(body)):
        without_strings = re.sub(rb'"[^"]*"?', b"", re.sub(rb"(?s)\\.", b"", body))
        check_size(_count_brackets(without_strings), len(body))


def check_size(objects: int, size: int) -> None:
    if _is_too_many(objects, size):
        raise ResponseDecodeError(
            f"{objects} objects and arrays in {size} bytes are too many; the limit is one per {MIN_OBJECT_BYTES} bytes"
        )


def _count_brackets(body: bytes | bytearray) -> int:
    return body.count(b"{") + body.count(b"[")


def _is_too_many(objects: int, size: int) -> bool:
    return objects > MAX_TINY_OBJECTS and objects * MIN_OBJECT_BYTES > size
