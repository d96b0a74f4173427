"""Removes credentials from text that the service sent, and limits its length, before it enters errors or logs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .messages import RawResponse

_MAX_MESSAGE: Final = 4096
_PRIVATE_HEADERS: Final = frozenset({"set-cookie", "cookie", "authorization", "proxy-authorization", "opc-obo-token"})
_EQUALS: Final = r"(?:=|%3D|&\#0*61;|&\#x0*3D;|\\+u003D)"
_QUOTE: Final = r"""(?:\\*["']|%2[27]|&quot;|&apos;|&\#0*3[49];|&\#x0*2[27];|\\+u002[27])"""
_SPACE: Final = r"(?:[\s+]|%20|&\#0*32;|&\#x0*20;|\\+u0020)"
_PAIR: Final = rf"(?:{_SPACE}|,|%2C)*\w+{_SPACE}*{_EQUALS}{_SPACE}*{_QUOTE}(?:(?!{_QUOTE}).)*(?:{_QUOTE})?"
_CREDENTIALS: Final = rf"""(?aisx)
    \bSignature(?:{_PAIR})+
    | -----BEGIN\ [A-Z0-9\ ]+-----.*?(?:-----END\ [A-Z0-9\ ]+-----|\Z)
    | ST(?:\$|%24)[^\s"'\\,]+
    | (?-i:eyJ[\w-]{{8,}}(?:\.[\w-]*){{0,2}})
    | \b(?:Basic|Bearer){_SPACE}+(?=[^\s]*[0-9=+/])[\w+/=.~%-]{{6,}}"""
_UNPRINTABLE: Final = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"


def redact(text: str) -> str:
    """*text* without what looks like a signature, a token (``ST$…``, JWT, Basic, Bearer) or PEM.

    A signature is recognized with its quotes escaped too, as HTML, JSON or a URL escapes them.
    Bytes that are not UTF-8, which headers may hold, become replacement characters, so that the text can be logged.
    """
    return re.sub(_CREDENTIALS, "[redacted]", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """*text*, redacted, with control characters, line breaks and bidirectional marks as Python escapes them.

    So it can neither start a new line of a log nor steer a terminal.
    """
    return re.sub(_UNPRINTABLE, lambda found: found[0].encode("unicode_escape").decode(), redact(text))


def shortened(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


def public_headers(response: RawResponse) -> dict[str, str]:
    """The headers of *response* without those that hold credentials; names in lower case, repeated values joined."""
    shown: dict[str, str] = {}
    for header, value in response.headers.items():
        name = header.lower()
        if name not in _PRIVATE_HEADERS:
            text = one_line(value)
            shown[name] = f"{shown[name]}, {text}" if name in shown else text
    return shown
