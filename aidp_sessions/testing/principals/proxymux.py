"""The token service of a Kubernetes (OKE) cluster, over TLS on loopback, with its own certificate authority.

Requests and responses are those of the official SDKs.
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._service import identity
from .._service.responses import JSON, HttpError, StubResponse
from .credentials import Authority, PublicKey, expiry, make_token, server_context
from .server import AuthServer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from ..service import LocalService
    from .server import RecordedAuthRequest

_TARGET: Final = "/resourcePrincipalSessionTokens"
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}(/[0-9a-f]{32}){2}")


class LocalProxymux(AuthServer):
    """Exchanges service account tokens of a pod: ``async with LocalProxymux() as proxymux: …``

    Args:
        lifetime: seconds until a token expires.
        enhanced: whether this is an enhanced cluster; other clusters answer 403.
        trusting: a service that accepts the issued tokens.
        clock: seconds since the epoch.

    Attributes:
        issued: the issued tokens, oldest first.
        requests: what was received, oldest first.
    """

    def __init__(
        self,
        *,
        lifetime: float = 3600.0,
        enhanced: bool = True,
        trusting: LocalService | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = Authority("Local Cluster")
        super().__init__(clock=clock, tls=server_context(self._authority.issue("proxymux", address="127.0.0.1")))
        self.lifetime = lifetime
        self.enhanced = enhanced
        self.issued: list[str] = []
        self._trusting = trusting
        self._accounts: set[str] = set()

    def write_pod(self, directory: str | os.PathLike[str], *, lifetime: float = 3600.0) -> tuple[Path, Path]:
        """Write ``token`` and ``ca.crt`` as Kubernetes mounts them into a pod; return their paths in this order."""
        folder = Path(directory).resolve()
        token = self.account_token(lifetime=lifetime)
        ca_file = identity.write_private(folder / "ca.crt", self._authority.issued.pem)
        return identity.write_private(folder / "token", f"{token}\n"), ca_file

    def account_token(self, *, lifetime: float = 3600.0) -> str:
        """Create a token of a service account, which this service exchanges."""
        token = make_token(issued_at=self._clock(), lifetime=lifetime, sub="system:serviceaccount:default:app")
        self._accounts.add(token)
        return token

    def _answer(self, request: RecordedAuthRequest, headers: Mapping[str, str]) -> StubResponse:
        if request.target != _TARGET:
            raise HttpError(404)
        if request.method != "POST":
            raise HttpError(405)
        account = headers.get("authorization", "").removeprefix("Bearer ")
        if account not in self._accounts or expiry(account) < self._clock():
            raise HttpError(401, "The service account token is not valid.")
        if not self.enhanced:
            raise HttpError(403)
        if not _REQUEST_ID.fullmatch(headers.get("opc-request-id", "")):
            raise HttpError(400, "opc-request-id must be three ids of 32 hexadecimal digits, joined by slashes.")
        try:
            key = PublicKey(str(request.fields["podKey"]))
        except (ValueError, KeyError):
            raise HttpError(400, "podKey is missing or malformed.") from None
        return self._issue(key)

    def _issue(self, key: PublicKey) -> StubResponse:
        token = make_token(issued_at=self._clock(), lifetime=self.lifetime, res_tenant=identity.TENANCY)
        self.issued.append(token)
        if self._trusting is not None:
            self._trusting.trust(f"ST${token}", key)
        inner = b64encode(json.dumps({"token": f"ST${token}"}).encode()).decode()
        return StubResponse(200, json.dumps(inner).encode(), {"content-type": JSON})
