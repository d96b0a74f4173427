"""The token service on loopback: tokens for certificates of instances, and refreshed session tokens.

Requests and responses are those of the official SDKs and the OCI command line.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final, cast

from ...auth.certificates import Certificate
from ...errors import CredentialsError
from .._service.responses import HttpError, StubResponse, json_response
from .._service.verify import why_refused
from .credentials import PublicKey, expiry, issued_by, make_token
from .server import AuthServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...auth.keys import PrivateKey
    from .._service.verify import Verifier
    from ..service import LocalService
    from .server import RecordedAuthRequest

_X509: Final = "/v1/x509"
_REFRESH: Final = "/v1/authentication/refresh"
_BODY: Final = ("content-length", "content-type", "x-content-sha256")


class LocalTokenService(AuthServer):
    """Issues tokens for signed requests: ``async with LocalTokenService() as tokens: …``

    Args:
        lifetime: seconds until a token expires.
        trusting: a service that accepts the issued tokens.
        clock: seconds since the epoch.

    Attributes:
        extends: whether a refreshed session ends later than before; sessions of ``--no-browser`` do not.
        issued: the issued tokens, oldest first.
        requests: what was received, oldest first.
    """

    def __init__(
        self,
        *,
        lifetime: float = 3600.0,
        trusting: LocalService | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.lifetime = lifetime
        self.extends = True
        self.issued: list[str] = []
        self._trusting = trusting
        self._sessions: dict[str, Verifier] = {}

    @property
    def x509_url(self) -> str:
        """The URL of tokens for instances."""
        return f"{self.origin}{_X509}"

    @property
    def refresh_url(self) -> str:
        """The URL that refreshes session tokens."""
        return f"{self.origin}{_REFRESH}"

    def open_session(self, key: PrivateKey, *, lifetime: float | None = None, **claims: object) -> str:
        """Create a session token for *key*, as signing in does."""
        whole = self.lifetime if lifetime is None else lifetime
        return self._issue(make_token(issued_at=self._clock(), lifetime=whole, **claims), key)

    def _issue(self, token: str, key: Verifier) -> str:
        self.issued.append(token)
        self._sessions[token] = key
        if self._trusting is not None:
            self._trusting.trust(f"ST${token}", key)
        return token

    def _answer(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        if request.target not in (_X509, _REFRESH):
            raise HttpError(404)
        if request.method != "POST":
            raise HttpError(405)
        if headers.get("x-content-sha256") != b64encode(hashlib.sha256(request.body).digest()).decode():
            raise HttpError(401, "The x-content-sha256 does not match the body.")
        try:
            return self._x509(request, headers) if request.target == _X509 else self._refresh(request, headers)
        except (ValueError, KeyError, TypeError, CredentialsError):
            raise HttpError(400, "A field of the body is missing or malformed.") from None

    def _x509(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        fields = request.fields
        leaf = Certificate.load(_pem(fields["certificate"]), "certificate")
        intermediates = fields["intermediateCertificates"]
        chain = cast("list[str]", intermediates) if isinstance(intermediates, list) else []
        if not issued_by(leaf.der, [b64decode(text) for text in chain]):
            raise HttpError(401, "The certificate is not from the intermediate authority.")
        if fields.get("fingerprintAlgorithm", "SHA1") == "SHA256":
            key_id = f"{leaf.tenancy}/fed-x509-sha256/{leaf.sha256}"
        else:
            key_id = f"{leaf.tenancy}/fed-x509/{leaf.sha1}"
        self._admit(request, headers, {key_id: PublicKey(leaf.public_key_base64)}, ("(request-target)", *_BODY))
        key = PublicKey(str(fields["publicKey"]))
        token = make_token(issued_at=self._clock(), lifetime=self.lifetime, tenant=leaf.tenancy)
        return json_response({"token": self._issue(token, key)})

    def _refresh(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        current = request.fields["currentToken"]
        if not isinstance(current, str) or current not in self._sessions or expiry(current) < self._clock():
            raise HttpError(401, "The session is over.")
        key = self._sessions[current]
        self._admit(request, headers, {f"ST${current}": key}, ("(request-target)", "host", *_BODY))
        left = self.lifetime if self.extends else expiry(current) - self._clock()
        return json_response({"token": self._issue(make_token(issued_at=self._clock(), lifetime=left), key)})

    def _admit(
        self,
        request: RecordedAuthRequest,
        headers: Mapping[str, str],
        keys: Mapping[str, Verifier],
        signed: tuple[str, ...],
    ) -> None:
        problem = why_refused(
            request.method, request.target, headers, keys, self._clock(), signed=signed, body=request.body
        )
        if problem is not None:
            raise HttpError(401, problem)


def _pem(text: object) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
