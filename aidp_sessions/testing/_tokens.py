"""Tokens as the local services hand them out: JWTs whose signature nobody checks, each unlike the others."""

from __future__ import annotations

import itertools
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

_NUMBERS: Final = itertools.count(1)


def make_token(*, issued_at: float, lifetime: float, **claims: object) -> str:
    """A token that ends *lifetime* seconds after *issued_at* (seconds since the epoch)."""
    whole = {"iat": int(issued_at), "exp": int(issued_at + lifetime), "jti": f"token-{next(_NUMBERS)}", **claims}
    return ".".join(_encoded(part) for part in ({"alg": "RS256", "typ": "JWT"}, whole)) + ".c2lnbmF0dXJl"


def expiry(token: str) -> float:
    """When *token*, which is one of `make_token`, ends: seconds since the epoch."""
    claims = token.split(".")[1]
    return float(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])


def _encoded(part: object) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
