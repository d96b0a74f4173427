"""The signer of a session opened with ``oci session authenticate``. Follows its files, and renews what it can."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from .._transport.fetch import FetchRequest
from .._transport.fetch import fetch as send
from ..auth.files import file_signature, key_path, read_key, read_text, replace_file
from ..auth.regions import auth_url, check_service_url, require_region
from ..auth.signing import SigningRequest, signed_headers
from ..auth.token import TIME, Credentials, Token
from ..errors import AidpError, ConfigError, CredentialsError
from .refresh import TokenSigner
from .token_service import ask, token_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .._operations.messages import RawResponse
    from .._transport.fetch import Fetch
    from ..auth.files import FileSignature, KeySource
    from ..policies import Sleep

    _Seen = tuple[FileSignature, FileSignature]

_WAY_OUT: Final = "run `oci session refresh`, or `oci session authenticate` if that fails"
_SIGN_IN: Final = "run `oci session authenticate` before then"
_OVER: Final = "the session cannot be renewed any more; run `oci session authenticate`"
_CLOCK: Final = "check this machine's clock"
_NETWORK: Final = "check the network, or run `oci session refresh`"

_log = logging.getLogger("aidp_sessions")


@attrs.frozen
class _Session(Credentials):
    """What one reading of the files gave, and how the token's and the key's file looked just before it."""

    seen: _Seen


class SessionTokenSigner(TokenSigner):
    """Signs with a session token and the private key it was issued for.

    Source: "Token-based Authentication for the CLI" of the OCI documentation. The files are read at construction and
    again whenever they change, so a token that the OCI command line renews is picked up without a restart. If a
    changed file cannot be used, the token in hand is kept for as long as it is valid.

    With *region* or *refresh_endpoint*, a token that nears its end is renewed here too, and written back to
    *token_file* for others to see. A session from ``--no-browser`` does not get longer by that: a warning says so,
    and when it ends.

    Args:
        token: the token itself, which then is never renewed; or
        token_file: the path of the file that holds it (``security_token_file`` of a profile).
        private_key: PEM text, bytes, the path of a PEM file (``~`` is expanded) or a loaded key.
        pass_phrase: of the key; ignored if the key is not encrypted.
        region: whose token service renews the token, by name or short code.
        refresh_endpoint: the whole URL to renew it at, instead of
            ``https://auth.{region}.{domain}/v1/authentication/refresh``.
        clock: our time in seconds since the epoch.
        sleep: waits between attempts.
        fetch: sends the requests; by default straight to their hosts, never through a proxy.

    Raises `TypeError` unless exactly one of *token* and *token_file* is given, `ConfigError` if a file cannot be read
    or the region is not known, and `CredentialsError` if it holds no usable key or token. An expired token is refused
    by `sign` only.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        private_key: KeySource,
        pass_phrase: str | bytes | None = None,
        region: str | None = None,
        refresh_endpoint: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        fetch: Fetch = send,
    ) -> None:
        if (token is None) == (token_file is None):
            raise TypeError("give either token or token_file")
        self._token = token
        self._token_file = token_file
        super().__init__(self._origin(), _WAY_OUT, clock=clock, sleep=sleep)
        self._private_key = private_key
        self._pass_phrase = pass_phrase
        self._refresh_url = check_service_url(refresh_endpoint)
        if region is not None and self._refresh_url is None:
            self._refresh_url = f"{auth_url(require_region(region))}/v1/authentication/refresh"
        self._fetch = fetch
        self._unusable: _Seen | None = None
        self._final: Token | None = None
        self._renewal.take(self._read(None))

    @property
    def tenancy(self) -> str | None:
        """The OCID of the tenancy, if the token names it."""
        return self._current.token.tenancy

    @property
    def expires_at(self) -> datetime:
        """When the token in hand ends; aware, in UTC."""
        return self._current.token.expires_at

    @property
    def _current(self) -> _Session:
        current = self._renewal.current
        assert isinstance(current, _Session)  # noqa: S101  # the constructor reads one
        return current

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """As `Signer.sign`; raises `CredentialsError` if the token has expired, and no newer one is in the file."""
        if self._expired() or self._look() not in (self._current.seen, self._unusable):
            await self._follow()
        if self._expired():
            raise CredentialsError(f"{self._origin()} expired at {self.expires_at:{TIME}}; {_WAY_OUT}")
        current: Credentials = self._current
        if self._refresh_url and self._token_file is not None and current.token != self._final:
            current = await self._renewal.get()  # at once, for it is valid
        return await self._signatures.make(request, current.key, current.key_id)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Read the files again; worth a second attempt if they now hold another token than the rejected one."""
        if self._token_file is None:
            return False
        self._take(await asyncio.to_thread(self._read, self._current))
        return not self._current.signed(rejected)

    def _expired(self) -> bool:
        return self._current.token.expired(self._clock())

    def _take(self, found: _Session) -> None:
        if found != self._current:  # or else a failed renewal would be forgotten
            self._renewal.take(found)

    async def _follow(self) -> None:
        seen = self._look()
        try:
            self._take(await asyncio.to_thread(self._read, self._current))
        except AidpError as error:
            if self._expired():
                raise
            # Perhaps it is being written just now; it is read again when it changes again.
            self._unusable = seen
            _log.warning("keeping the session token in hand, valid until %s: %s", format(self.expires_at, TIME), error)

    def _read(self, previous: _Session | None) -> _Session:
        seen = self._look()
        text = self._token if self._token_file is None else read_text(self._token_file, "session token file")
        token = Token.parse(text or "", self._origin(), _WAY_OUT)
        if previous is not None and previous.seen[1] == seen[1]:
            return _Session(token, previous.key, seen)
        return _Session(token, read_key(self._private_key, self._pass_phrase), seen)

    async def _obtain(self) -> Credentials:
        found = await asyncio.to_thread(self._read, self._current)
        if found.token != self._current.token:  # somebody else has renewed it
            return found
        token = await self._ask_for_another(found)
        if token.expires_at <= found.token.expires_at:
            self._final = found.token
            end = format(self.expires_at, TIME)
            _log.warning("%s ends at %s and cannot be extended; %s", self._origin(), end, _SIGN_IN)
            return found
        try:
            written = await asyncio.to_thread(self._write, token)
        except ConfigError as error:
            _log.warning("the renewed session token is used, but nobody else will see it: %s", error)
            written = found.seen[0]
        return _Session(token, found.key, (written, found.seen[1]))

    async def _ask_for_another(self, session: _Session) -> Token:
        url = self._refresh_url
        assert url is not None  # noqa: S101  # nothing is renewed without
        body = json.dumps({"currentToken": session.token.text}).encode()
        parts = urlsplit(url)
        unsigned = SigningRequest("POST", parts.netloc, parts.path, formatdate(self._clock(), usegmt=True), body)
        headers = signed_headers(unsigned, session.key, session.key_id)
        request = FetchRequest(method="POST", url=url, headers=headers, body=body)

        async def noting_the_end(request: FetchRequest) -> RawResponse:
            answer = await self._fetch(request)
            if answer.status == 401:
                self._final = session.token
            return answer

        what = "the token service"
        hints = {401: _OVER}
        answer = await ask(noting_the_end, request, what, clock=self._clock, unreachable=_NETWORK, hints=hints)
        return Token.parse(token_of(answer, f"{what} at {url}"), f"the token that {url} gave", _CLOCK)

    def _write(self, token: Token) -> FileSignature:
        assert self._token_file is not None  # noqa: S101  # a token without a file is not renewed
        return replace_file(self._token_file, token.text)

    def _look(self) -> _Seen:
        key_file = key_path(self._private_key)
        return (
            None if self._token_file is None else file_signature(self._token_file),
            None if key_file is None else file_signature(key_file),
        )

    def _origin(self) -> str:
        return "session token" if self._token_file is None else f"session token in {self._token_file}"

    def __repr__(self) -> str:
        return f"SessionTokenSigner(<{self._origin()}, valid until {self.expires_at:{TIME}}>)"
