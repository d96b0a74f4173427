"""Removes credentials from text that the service sent, and limits its length, before it enters errors or logs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .messages import RawResponse

_MAX_MESSAGE: Final = 4096
_PRIVATE_HEADERS: Final = frozenset({"set-cookie", "cookie", "authorization", "proxy-authorization", "opc-obo-token"})
_QUOTED_PAIR: Final = r"""[\s,]*\w+\s*=\s*\\*["'][^"'\\]*\\*["']?"""
_CREDENTIALS: Final = rf"""(?aisx)
    \bSignature(?:{_QUOTED_PAIR})+
    | -----BEGIN\ [A-Z0-9\ ]+-----.*?(?:-----END\ [A-Z0-9\ ]+-----|\Z)
    | ST\$[^\s"'\\,]+
    | (?-i:eyJ[\w-]{{8,}}(?:\.[\w-]*){{0,2}})
    | \b(?:Basic|Bearer)\s+(?=[^\s]*[0-9=+/])[\w+/=.~-]{{6,}}"""


def redact(text: str) -> str:
    """*text* without what looks like a signature, a token (``ST$…``, JWT, Basic, Bearer) or PEM.

    Bytes that are not UTF-8, which headers may hold, become replacement characters, so that the text can be logged.
    """
    return re.sub(_CREDENTIALS, "[redacted]", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def shortened(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


def public_headers(response: RawResponse) -> dict[str, str]:
    """The headers of *response* without those that hold credentials; names in lower case, repeated values joined."""
    shown: dict[str, str] = {}
    for header, value in response.headers.items():
        name = header.lower()
        if name not in _PRIVATE_HEADERS:
            shown[name] = f"{shown[name]}, {redact(value)}" if name in shown else redact(value)
    return shown
