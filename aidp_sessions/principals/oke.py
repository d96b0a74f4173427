"""The signer of a Kubernetes workload (OKE): exchanges its service account token for a session token.

Source: "Granting Workloads Access to OCI Resources" of the OCI documentation; the exchange is that of the official
SDKs.
"""

from __future__ import annotations

import json
import ssl
import uuid
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from .._transport.fetch import FetchRequest
from .._transport.fetch import fetch as send
from ..auth.config import argument_or_variable, from_environment
from ..auth.files import TextFile
from ..auth.regions import region_name
from ..auth.secrets import shown
from ..auth.threads import run_in_thread
from ..auth.token import Credentials, Token
from ..endpoints import check_url
from ..errors import ConfigError, CredentialsError
from ..policies import Clock
from .refresh import TokenSigner
from .token_service import Service, fetch_token, parse_token

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from .._transport.fetch import Fetch
    from ..auth.keys import PrivateKey

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_PORT: Final = 12250
_KEY_ID_PREFIX: Final = "ST$"
_IN_A_POD: Final = "workload identity exists in pods of OKE clusters only; elsewhere use another auth"
_MOUNT: Final = "mount a service account token into the pod (automountServiceAccountToken)"
_TOKENS: Final = Service(
    "the cluster's token service",
    "check that this is a node of an enhanced OKE cluster, and check its network policy",
    {401: _MOUNT, 403: "workload identity needs an enhanced cluster, and a policy for this workload"},
)
_CLOCK: Final = "check this node's clock"


class OkeWorkloadIdentitySigner(TokenSigner):
    """Signs as the Kubernetes workload that the program runs in.

    The files are read for each token, and tokens are refreshed before they expire. Can be created outside an event
    loop; does no I/O until the first signature.

    Args:
        host: the cluster's address; by default ``KUBERNETES_SERVICE_HOST``.
        port: the port of its token service.
        service_account_token: by default ``OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING``, else read from the file.
        service_account_token_file: by default ``OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH``, else where Kubernetes
            mounts it.
        ca_file: the certificate authority of the cluster; by default
            ``OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH``, else where Kubernetes mounts it.
        region: name or short code; by default ``OCI_RESOURCE_PRINCIPAL_REGION``.
        environ: the environment variables; by default those of the process.
        clock: time and sleep; for tests.
        fetch: sends the requests; by default directly, never through a proxy.

    Raises `ConfigError` if the host is not known. `sign` raises `ConfigError` if a file cannot be read, and
    `CredentialsError` if its content cannot be used or the token service refuses.
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int = _PORT,
        service_account_token: str | None = None,
        service_account_token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        region: str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock = Clock(),
        fetch: Fetch = send,
    ) -> None:
        super().__init__("the workload's token", _CLOCK, clock=clock)

        def variable(name: str) -> str | None:
            setting = from_environment(environ, name)
            return setting.value if setting else None

        self._url = _proxymux_url(host or variable("KUBERNETES_SERVICE_HOST"), port)
        if service_account_token is None and service_account_token_file is None:
            service_account_token = variable("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_STRING")
            service_account_token_file = variable("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH")
        self._account_token = service_account_token
        account_file = service_account_token_file or f"{_ACCOUNT}/token"
        self._account_file = TextFile.at(account_file, "service account token file")
        ca_file = ca_file or variable("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH") or f"{_ACCOUNT}/ca.crt"
        self._ca_file = TextFile.at(ca_file, "the cluster's CA file")
        self._region = argument_or_variable(
            region, lambda name: region_name(name, environ), environ, "OCI_RESOURCE_PRINCIPAL_REGION"
        )
        self._fetch = fetch

    async def _obtain(self) -> Credentials:
        key, account, context = await run_in_thread(self._prepare)
        request = FetchRequest(
            method="POST",
            url=self._url,
            headers={
                "authorization": f"Bearer {account}",
                "content-type": "application/json",
                "opc-request-id": "/".join(uuid.uuid4().hex for _ in range(3)),
            },
            body=json.dumps({"podKey": key.public_key_base64}).encode(),
            ssl=context,
        )
        token = await fetch_token(self._fetch, request, _TOKENS, self._clock.time, remedy=_CLOCK, parse=_parse_token)
        return Credentials(token, key)

    def _prepare(self) -> tuple[PrivateKey, str, ssl.SSLContext]:
        account = self._read_account()
        authority = self._ca_file.read()
        # Not ssl.create_default_context(): if the file is empty, it trusts the system's authorities. And from Python
        # 3.13 on it refuses the authorities of many clusters, which lack a key identifier.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # Text between the certificates is ignored, but must be ASCII.
            context.load_verify_locations(cadata=authority.encode("ascii", "replace").decode())
        except (ssl.SSLError, ValueError):
            raise CredentialsError(f"{self._ca_file} holds no certificate in PEM form") from None
        return self._key_class.generate(), account, context

    def _read_account(self) -> str:
        text, source = self._account_token, "the service account token"
        if text is None:
            text, source = self._account_file.read(), str(self._account_file)
        token = Token.parse(text, source, _MOUNT)
        if token.is_expired_at(self._clock.time()):
            raise CredentialsError(f"{source} expired at {token.end}; {_MOUNT}, or {_CLOCK}")
        return token.text


def _proxymux_url(host: str | None, port: int) -> str:
    if not host:
        raise ConfigError(f"KUBERNETES_SERVICE_HOST is not set; {_IN_A_POD}")
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        return check_url(f"https://{bracketed}:{port}", "address") + "/resourcePrincipalSessionTokens"
    except ValueError:
        problem = f"KUBERNETES_SERVICE_HOST is {shown(host)}, which is not a host name or an address"
    raise ConfigError(problem)


def _parse_token(body: bytes, source: str) -> str:
    """Return the token in *body*: a JSON string of base64 of a JSON object whose ``token`` begins with ``ST$``."""
    try:
        inner = b64decode(body.strip().strip(b'"'), validate=True)
    except ValueError:
        raise CredentialsError(f"{source} answered with something that is not base64") from None
    return parse_token(inner, source).removeprefix(_KEY_ID_PREFIX)
