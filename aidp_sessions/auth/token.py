"""A token with an expiry: what a JWT says of itself, and the pair of token and key that signs. Pure."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keys import PrivateKey

TIME: Final = "%Y-%m-%d %H:%M:%S UTC"

_LAST_SECOND: Final = 253_402_300_799  # of the year 9999
_JWT: Final = r"(?a)[\w-]+\.([\w-]+)\.[\w-]*"
_TENANCY_CLAIMS: Final = ("tenant", "res_tenant")


@attrs.frozen
class Token:
    """A JWT and what it says of itself; its signature is the service's business, not ours.

    Attributes:
        issued_at: seconds since the epoch, if the token says so.
        tenancy: the OCID of the tenancy, if the token names it.
    """

    text: str = attrs.field(repr=False)
    expires_at: datetime
    issued_at: float | None = None
    tenancy: str | None = None

    @classmethod
    def parse(cls, text: str, origin: str, way_out: str) -> Token:
        """Read a token, white space around it dropped.

        Raises `CredentialsError`, from *origin* to *way_out*, unless it is a JWT with a usable ``exp``.
        """
        text = text.strip()
        match = re.fullmatch(_JWT, text)
        if not match:
            raise CredentialsError(f"{origin} {'is not a JWT' if text else 'is empty'}; {way_out}")
        try:
            found = json.loads(urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CredentialsError(f"{origin} is a damaged JWT, its claims cannot be read; {way_out}")
        claims = cast("dict[str, Any]", found)
        try:
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            raise CredentialsError(f"{origin} has no usable 'exp', the time at which it expires; {way_out}") from None
        issued_at = claims.get("iat")
        tenancies = (claims.get(name) for name in _TENANCY_CLAIMS)
        return cls(
            text,
            expires_at,
            float(issued_at) if isinstance(issued_at, int | float) and 0 <= issued_at <= _LAST_SECOND else None,
            next((tenancy for tenancy in tenancies if isinstance(tenancy, str)), None),
        )

    def expired(self, now: float) -> bool:
        """*now* is in seconds since the epoch; the last second still counts."""
        return now > self.expires_at.timestamp()


@attrs.frozen
class Credentials:
    """A token and the private key that it was issued for."""

    token: Token
    key: PrivateKey

    @property
    def key_id(self) -> str:
        return f"ST${self.token.text}"

    def signed(self, headers: Mapping[str, str]) -> bool:
        """Was it this token that signed *headers*?"""
        return f'keyId="{self.key_id}"' in headers.get("authorization", "")
