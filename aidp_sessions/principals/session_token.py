"""The signer of a session opened with ``oci session authenticate``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from .._transport.fetch import fetch as send
from ..auth.files import TextFile, key_source, read_key
from ..auth.regions import auth_url, require_region
from ..auth.threads import run_in_thread
from ..auth.token import Credentials, Token
from ..endpoints import check_endpoint
from ..errors import AidpError, ConfigError, CredentialsError
from ..policies import Clock
from .refresh import TokenSigner
from .token_service import Service, fetch_token, signed_post

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import datetime

    from .._operations.messages import RawResponse
    from .._transport.fetch import Fetch, FetchRequest
    from ..auth.files import FileVersion
    from ..auth.keys import KeySource
    from ..auth.signing import SigningRequest

    _FileVersions = tuple[FileVersion, FileVersion]

_REMEDY: Final = "run `oci session refresh`, or `oci session authenticate` if that fails"
_SIGN_IN: Final = "run `oci session authenticate` before then"
_TOKENS: Final = Service(
    "the token service",
    "check the network, or run `oci session refresh`",
    {401: "the session cannot be refreshed any more; run `oci session authenticate`"},
)
_CLOCK: Final = "check this machine's clock"

_log = logging.getLogger("aidp_sessions")


@attrs.frozen
class _Session(Credentials):
    """The token, the key, and the versions of their files.

    Attributes:
        replaced: the token that the file still holds, if the new one could not be written.
    """

    versions: _FileVersions
    replaced: Token | None = None


class SessionTokenSigner(TokenSigner):
    """Signs with a session token and the private key it was issued for.

    Source: "Token-based Authentication for the CLI" of the OCI documentation. The files are read at construction and
    again whenever they change, so a token that the OCI command line refreshes is used without a restart. If a changed
    file cannot be used, the current token is kept until it expires.

    With *region* or *refresh_endpoint*, the signer itself refreshes a token that is about to expire, and writes the new
    one to *token_file*. A session from ``--no-browser`` cannot be extended; a warning then says when it ends.

    Args:
        token: the token, which then is never refreshed.
        token_file: instead of *token*, the path of a file that holds it (``security_token_file`` of a profile).
        private_key: PEM text, bytes, the path of a PEM file (``~`` is expanded) or a loaded key.
        pass_phrase: the passphrase of the key; ignored if the key is not encrypted.
        region: the region of the token service, name or short code.
        refresh_endpoint: the full URL to refresh the token at, instead of
            ``https://auth.{region}.{domain}/v1/authentication/refresh``.
        clock: time and sleep; for tests.
        fetch: sends the requests; by default directly, never through a proxy.

    Raises `TypeError` unless exactly one of *token* and *token_file* is given, `ConfigError` if a file cannot be read
    or the region is not known, and `CredentialsError` if it holds no usable key or token. An expired token is an error
    of `sign` only.
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
        clock: Clock = Clock(),
        fetch: Fetch = send,
    ) -> None:
        if (token is None) == (token_file is None):
            raise TypeError("give either token or token_file")
        self._token = token
        self._token_file = None if token_file is None else TextFile.at(token_file, "session token file")
        super().__init__(self._source(), _REMEDY, clock=clock)
        self._private_key = key_source(private_key)
        self._pass_phrase = pass_phrase
        self._refresh_url = None if refresh_endpoint is None else check_endpoint(refresh_endpoint)
        if region is not None and self._refresh_url is None:
            self._refresh_url = f"{auth_url(require_region(region))}/v1/authentication/refresh"
        self._fetch = fetch
        self._rejected_files: _FileVersions | None = None
        self._unextendable: Token | None = None
        self._refresher.store(self._read(None))

    @property
    def expires_at(self) -> datetime:
        """When the current token expires, in UTC."""
        return self._current.token.expires_at

    @property
    def _current(self) -> _Session:
        current = self._refresher.current
        assert isinstance(current, _Session)  # noqa: S101  # the constructor reads one
        return current

    async def sign(self, request: SigningRequest) -> dict[str, str]:
        """Sign *request*; raises `CredentialsError` if the token has expired and its file holds no newer one."""
        if self._is_expired() or self._file_versions() not in (self._current.versions, self._rejected_files):
            await self._reload()
        if self._is_expired():
            raise CredentialsError(f"{self._source()} expired at {self._current.token.end}; {_REMEDY}")
        current: Credentials = self._current
        if self._refresh_url and self._token_file is not None and current.token != self._unextendable:
            current = await self._refresher.get()  # does not wait, because the token is valid
        return await self._threads.sign(request, current.key, current.key_id)

    async def refresh(self, rejected: Mapping[str, str]) -> bool:
        """Read the files again; whether they hold another token than the rejected one."""
        if self._token_file is None:
            return False
        self._store(await run_in_thread(self._read, self._current))
        return not self._current.did_sign(rejected)

    def _is_expired(self) -> bool:
        return self._current.token.is_expired_at(self._clock.time())

    def _store(self, found: _Session) -> None:
        if found != self._current:  # storing the same one would end the pause after a failed refresh
            self._refresher.store(found)

    async def _reload(self) -> None:
        versions = self._file_versions()
        try:
            self._store(await run_in_thread(self._read, self._current))
        except AidpError as error:
            if self._is_expired():
                raise
            # The file may be half written; it is read again when it changes again.
            self._rejected_files = versions
            _log.warning("keeping the current session token, valid until %s: %s", self._current.token.end, error)

    def _read(self, previous: _Session | None) -> _Session:
        versions = self._file_versions()
        text = self._token if self._token_file is None else self._token_file.read()
        token = Token.parse(text or "", self._source(), _REMEDY)
        if previous is None:
            return _Session(token, read_key(self._private_key, self._pass_phrase), versions)
        is_same_key = previous.versions[1] == versions[1]
        key = previous.key if is_same_key else read_key(self._private_key, self._pass_phrase)
        if token == previous.replaced:
            return _Session(previous.token, key, versions, replaced=token)
        return _Session(token, key, versions)

    async def _obtain(self) -> Credentials:
        found = await run_in_thread(self._read, self._current)
        is_news = found.token != self._current.token  # another process refreshed it
        if is_news or self._token_file is None or self._refresh_url is None:
            return found
        token = await self._request_refresh(found, self._refresh_url)
        if token.expires_at <= found.token.expires_at:
            self._unextendable = found.token
            _log.warning("%s ends at %s and cannot be extended; %s", self._source(), self._current.token.end, _SIGN_IN)
            return found
        try:
            written = await run_in_thread(self._token_file.replace, token.text)
        except ConfigError as error:
            _log.warning("the new session token is used, but not saved for other programs: %s", error)
            return _Session(token, found.key, found.versions, replaced=found.replaced or found.token)
        return _Session(token, found.key, (written, found.versions[1]))

    async def _request_refresh(self, session: _Session, url: str) -> Token:
        fields = {"currentToken": session.token.text}
        request = signed_post(url, fields, session.key, session.key_id, now=self._clock.time())

        async def remember_if_final(request: FetchRequest) -> RawResponse:
            answer = await self._fetch(request)
            if answer.status == 401:
                self._unextendable = session.token
            return answer

        return await fetch_token(remember_if_final, request, _TOKENS, self._clock.time, remedy=_CLOCK)

    def _file_versions(self) -> _FileVersions:
        return _version(self._token_file), _version(self._private_key)

    def _source(self) -> str:
        return "session token" if self._token_file is None else str(self._token_file)

    def __repr__(self) -> str:
        return f"SessionTokenSigner(<{self._source()}, valid until {self._current.token.end}>)"


def _version(source: object) -> FileVersion:
    return source.version if isinstance(source, TextFile) else None
