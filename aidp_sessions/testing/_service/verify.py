"""Verifies OCI request signatures, as the service does.

Source: "Request Signatures" of the OCI documentation. No clock, no socket.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from ..._operations.messages import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SKEW_S: Final = 300.0
SIGNED: Final = ("(request-target)", "host")
SIGNED_WITH_BODY: Final = (*SIGNED, "content-length", "content-type", "x-content-sha256")
"""What POST, PUT and PATCH must sign in addition to the date, even if their body is empty."""

_PARAMETER: Final = re.compile(r'\s*(\w+)="([^"]*)"\s*(?:,|$)')


class Verifier(Protocol):
    """A key that verifies its own signatures, public or private."""

    def verifies(self, signature: bytes, data: bytes) -> bool: ...


def why_refused(
    method: str,
    target: str,
    headers: Mapping[str, str],
    keys: Mapping[str, Verifier],
    now: float,
    *,
    signed: tuple[str, ...] = SIGNED,
    body: bytes = b"",
) -> str | None:
    """Return the reason why this request is not authenticated, or ``None`` if it is.

    *target* is the request target and *headers* (names in lower case) are the values exactly as received; *now* is
    in seconds since the epoch; *signed* must be signed in addition to the date; *body* must match the hash that was
    signed, and be empty without one. The reason never contains a signature or a token.
    """
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    given = dict(_PARAMETER.findall(rest))
    names = given.get("headers", "").split()
    if scheme.lower() != "signature":
        return "The Authorization header is missing, or its scheme is not Signature."
    if given.get("algorithm") != "rsa-sha256" or given.get("version", "1") != "1":
        return "The signature must have algorithm rsa-sha256 and version 1."
    problem = _unsigned(names, headers, signed) or _skewed(headers, now)
    if problem:
        return problem
    key = keys.get(given.get("keyId", ""))
    if key is None:
        return "The service does not know the keyId."
    if not key.verifies(_decoded(given.get("signature", "")), _signed_bytes(method, target, names, headers)):
        return "The signature does not match the request line and headers as they were received."
    claimed = headers.get("x-content-sha256") if "x-content-sha256" in names else _hash(b"")
    return None if claimed == _hash(body) else "The body does not match the hash that was signed."


def _unsigned(names: list[str], headers: Mapping[str, str], signed: tuple[str, ...]) -> str | None:
    """The names may come in any order; ``x-date`` takes precedence over ``date``."""
    for needed in ("x-date" if "x-date" in headers else "date", *signed):
        if needed not in names:
            return f"The signature does not cover {needed}."
    for name in names:
        if name != "(request-target)" and name not in headers:
            return f"The signature covers {name}, which was not sent."
    return None


def _skewed(headers: Mapping[str, str], now: float) -> str | None:
    text = headers["x-date" if "x-date" in headers else "date"]
    date = http_date(text)
    if date is None:
        return f"The date {text!r} is not in the form of RFC 1123."
    skew = date - now
    if abs(skew) > MAX_SKEW_S:
        return f"The date is {skew:+.0f} s off the service's clock; {MAX_SKEW_S:.0f} s are allowed."
    return None


def _signed_bytes(method: str, target: str, names: list[str], headers: Mapping[str, str]) -> bytes:
    values = {**headers, "(request-target)": f"{method.lower()} {target}"}
    return "\n".join(f"{name}: {values[name]}" for name in names).encode("utf-8", "surrogateescape")


def _hash(body: bytes) -> str:
    return b64encode(sha256(body).digest()).decode()


def _decoded(signature: str) -> bytes:
    try:
        return b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return b""
