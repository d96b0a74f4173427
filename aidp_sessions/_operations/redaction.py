"""What other people's words may not carry into our errors and logs: credentials, and more than anybody reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .messages import Answer

_LONGEST_MESSAGE = 4096
_QUOTED_PAIR = r"""[\s,]*\w+\s*=\s*\\*["'][^"'\\]*\\*["']?"""
_CREDENTIALS = rf"""(?aisx)
    \bSignature(?:{_QUOTED_PAIR})+
    | -----BEGIN\ [A-Z0-9\ ]+-----.*?(?:-----END\ [A-Z0-9\ ]+-----|\Z)
    | ST\$[^\s"'\\,]+
    | (?-i:eyJ[\w-]{{8,}}(?:\.[\w-]*){{0,2}})
    | \b(?:Basic|Bearer)\s+(?=[^\s]*[0-9=+/])[\w+/=.~-]{{6,}}"""


def redact(text: str) -> str:
    """*text* without what looks like a signature, a token (``ST$…``, JWT, Basic, Bearer) or PEM.

    Bytes that are no UTF-8, which headers may hold, become replacement characters: any text can be logged.
    """
    return re.sub(_CREDENTIALS, "[redacted]", text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


_PRIVATE_HEADERS = frozenset({"set-cookie", "cookie", "authorization", "proxy-authorization", "opc-obo-token"})


def _shown_headers(answer: Answer) -> dict[str, str]:
    shown: dict[str, str] = {}
    for header, value in answer.headers.items():
        name = header.lower()
        if name not in _PRIVATE_HEADERS:
            shown[name] = f"{shown[name]}, {redact(value)}" if name in shown else redact(value)
    return shown
