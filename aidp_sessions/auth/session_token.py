"""The signer of a session opened with ``oci session authenticate``. Follows its files; never renews the token."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from ..errors import AidpError, CredentialsError
from .config import file_signature, key_path, read_key, read_text
from .signing import Signer, signed_headers

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from .config import FileSignature, KeySource
    from .signing import PrivateKey, SigningRequest

    _Seen = tuple[FileSignature, FileSignature]

_JWT: Final = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*", re.ASCII)
_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"
_WAY_OUT: Final = "run `oci session refresh`, or `oci session authenticate` if that fails"

_log = logging.getLogger("aidp_sessions")


@attrs.frozen
class _Token:
    """A JWT and what it says of itself; its signature is the service's business, not ours."""

    text: str = attrs.field(repr=False)
    expires_at: datetime
    tenancy: str | None

    @classmethod
    def parse(cls, text: str, origin: str) -> _Token:
        text = text.strip()
        match = _JWT.fullmatch(text)
        if not match:
            raise CredentialsError(f"{origin} {'is not a JWT' if text else 'is empty'}; {_WAY_OUT}")
        try:
            claims = json.loads(urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        except ValueError:
            claims = None
        if not isinstance(claims, dict):
            raise CredentialsError(f"{origin} is a damaged JWT, its claims cannot be read; {_WAY_OUT}")
        try:
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            raise CredentialsError(f"{origin} has no usable 'exp', the time at which it expires; {_WAY_OUT}") from None
        tenancy = claims.get("tenant")
        return cls(text, expires_at, tenancy if isinstance(tenancy, str) else None)


@attrs.frozen
class _Credentials:
    """What one reading of the files gave, and how the token's and the key's file looked just before it."""

    token: _Token
    key: PrivateKey
    seen: _Seen


class SessionTokenSigner(Signer):
    """Signs with a session token and the private key it was issued for.

    Source: "Token-based Authentication for the CLI" of the OCI documentation. The files are read at construction and
    again whenever they change, so a token that the OCI command line renews is picked up without a restart. If a
    changed file cannot be used, the token in hand is kept for as long as it is valid.

    Args:
        token: the token itself, which then is never renewed; or
        token_file: the path of the file that holds it (``security_token_file`` of a profile).
        private_key: PEM text, bytes, the path of a PEM file (``~`` is expanded) or a loaded key.
        pass_phrase: of the key; ignored if the key is not encrypted.
        clock: our time in seconds since the epoch.

    Raises `TypeError` unless exactly one of *token* and *token_file* is given, `ConfigError` if a file cannot be read,
    and `CredentialsError` if it holds no usable key or token. An expired token is refused by `sign` only.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        private_key: KeySource,
        pass_phrase: str | bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (token is None) == (token_file is None):
            raise TypeError("give either token or token_file")
        self._token = token
        self._token_file = token_file
        self._private_key = private_key
        self._pass_phrase = pass_phrase
        self._clock = clock
        self._unusable: _Seen | None = None
        self._current = self._read(None)

    @property
    def tenancy(self) -> str | None:
        """The OCID of the tenancy, if the token names it."""
        return self._current.token.tenancy

    @property
    def expires_at(self) -> datetime:
        """When the token in hand ends; aware, in UTC."""
        return self._current.token.expires_at

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """As `Signer.sign`; raises `CredentialsError` if the token has expired, and no newer one is in the file."""
        if self._expired() or self._look() not in (self._current.seen, self._unusable):
            await asyncio.to_thread(self._follow)
        current = self._current
        if self._expired():
            raise CredentialsError(f"{self._origin()} expired at {self.expires_at:{_TIME}}; {_WAY_OUT}")
        return signed_headers(request, current.key, f"ST${current.token.text}")

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Read the files again; worth a second attempt if they now hold another token than the rejected one."""
        if self._token_file is None:
            return False
        self._current = await asyncio.to_thread(self._read, self._current)
        return f'keyId="ST${self._current.token.text}"' not in rejected.get("authorization", "")

    def _expired(self) -> bool:
        return self._clock() > self.expires_at.timestamp()

    def _follow(self) -> None:
        seen = self._look()
        try:
            self._current = self._read(self._current)
        except AidpError as error:
            if self._expired():
                raise
            # Perhaps it is being written just now; it is read again when it changes again.
            self._unusable = seen
            _log.warning("keeping the session token in hand, valid until %s: %s", format(self.expires_at, _TIME), error)

    def _read(self, previous: _Credentials | None) -> _Credentials:
        seen = self._look()
        text = self._token if self._token_file is None else read_text(self._token_file, "session token file")
        token = _Token.parse(text or "", self._origin())
        if previous is not None and previous.seen[1] == seen[1]:
            return _Credentials(token, previous.key, seen)
        return _Credentials(token, read_key(self._private_key, self._pass_phrase), seen)

    def _look(self) -> _Seen:
        key_file = key_path(self._private_key)
        return (
            None if self._token_file is None else file_signature(self._token_file),
            None if key_file is None else file_signature(key_file),
        )

    def _origin(self) -> str:
        return "session token" if self._token_file is None else f"session token in {self._token_file}"

    def __repr__(self) -> str:
        return f"SessionTokenSigner(<{self._origin()}, valid until {self.expires_at:{_TIME}}>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not pickled, for it holds a private key; build it anew where it is needed")
