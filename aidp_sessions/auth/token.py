"""Tokens that expire: the claims of a JWT, and a token together with the key it was issued for."""

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

_MAX_TIMESTAMP: Final = 253_402_300_799  # in the year 9999
_JWT: Final = r"(?a)[\w-]+\.([\w-]+)\.[\w-]*"
_TENANCY_CLAIMS: Final = ("tenant", "res_tenant")


@attrs.frozen
class Token:
    """A JWT and its claims. Its signature is not verified; the service does that.

    Attributes:
        issued_at: seconds since the epoch, if the token has the claim.
        tenancy: the OCID of the tenancy, if the token has the claim.
    """

    text: str = attrs.field(repr=False)
    expires_at: datetime
    issued_at: float | None = None
    tenancy: str | None = None

    @classmethod
    def parse(cls, text: str, source: str, remedy: str) -> Token:
        """Read a token; white space around it is ignored.

        Raises `CredentialsError`, which begins with *source* and ends with *remedy*, unless it is a JWT with a usable
        ``exp``.
        """
        text = text.strip()
        match = re.fullmatch(_JWT, text)
        if not match:
            raise CredentialsError(f"{source} {'is not a JWT' if text else 'is empty'}; {remedy}")
        try:
            found = json.loads(urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise CredentialsError(f"{source} is a damaged JWT, its claims cannot be read; {remedy}")
        claims = cast("dict[str, Any]", found)
        try:
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            raise CredentialsError(f"{source} has no usable 'exp', the time at which it expires; {remedy}") from None
        issued_at = claims.get("iat")
        tenancies = (claims.get(name) for name in _TENANCY_CLAIMS)
        return cls(
            text,
            expires_at,
            float(issued_at) if isinstance(issued_at, int | float) and 0 <= issued_at <= _MAX_TIMESTAMP else None,
            next((tenancy for tenancy in tenancies if isinstance(tenancy, str)), None),
        )

    @property
    def end(self) -> str:
        """When the token expires, as text."""
        return self.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC")

    def is_expired_at(self, now: float) -> bool:
        """Whether the token has ended at *now*, in seconds since the epoch; at ``exp`` itself it is still valid."""
        return now > self.expires_at.timestamp()


@attrs.frozen
class Credentials:
    """A token and the private key it was issued for."""

    token: Token
    key: PrivateKey

    @property
    def key_id(self) -> str:
        return f"ST${self.token.text}"

    def did_sign(self, headers: Mapping[str, str]) -> bool:
        """Whether *headers* were signed with this token."""
        return f'keyId="{self.key_id}"' in headers.get("authorization", "")
