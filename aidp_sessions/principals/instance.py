"""The signer of a compute instance: its certificate from the metadata service, a token for it from the token service.

Sources: "Calling Services from an Instance" and "Getting Instance Metadata" of the OCI documentation; what goes over
the wire is that of the official SDKs, Python (SHA-1) and Go (SHA-256).
"""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import attrs

from .._transport.fetch import FetchRequest
from .._transport.fetch import fetch as send
from ..auth.config import from_environment
from ..auth.keys import PrivateKey
from ..auth.regions import auth_url, check_metadata_url, check_service_url, find_region, region_name, require_region
from ..auth.signing import SigningRequest, signed_headers
from ..auth.token import Credentials, Token
from ..endpoints import check_region, parse_region_metadata
from ..errors import CredentialsError
from .refresh import TokenSigner
from .token_service import TryAgainError, UnreachableError, ask, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._transport.fetch import Fetch
    from ..auth.certificates import Certificate
    from ..policies import Sleep

Digest = Literal["SHA1", "SHA256"]

# The second is for instances without IPv4.
_METADATA_URLS: Final = ("http://169.254.169.254/opc/v2", "http://[fd00:c1::a9fe:a9fe]/opc/v2")
_METADATA_HEADERS: Final = {"authorization": "Bearer Oracle"}
_METADATA_CONNECT_S: Final = 2.0
_ONLY_THERE: Final = (
    "instance principals exist on OCI compute instances only; elsewhere use another auth, "
    "and if the metadata service is somewhere else, set OCI_METADATA_BASE_URL"
)
_NO_RULE: Final = "put the instance into a dynamic group, check this machine's clock, and its tenancy"
_HINTS: Final[Mapping[int, str]] = {401: _NO_RULE, 403: _NO_RULE, 404: _NO_RULE}
_NO_GATEWAY: Final = "check that the instance's subnet has a service gateway or another way out"
_CLOCK: Final = "check this machine's clock"


@attrs.frozen(eq=False, repr=False)
class _Identity:
    """What the metadata service says about the instance."""

    certificate: Certificate
    key: PrivateKey
    intermediates: tuple[Certificate, ...]
    tenancy: str


class InstancePrincipalSigner(TokenSigner):
    """Signs as the compute instance that it runs on.

    Nothing is asked before the first signature. The token is renewed ahead of its end, with a key of its own each
    time and with the certificate that the instance has by then. May be made outside a loop, and used on several loops
    one after the other.

    Args:
        region: where the token service is asked, by name or short code; by default the instance's own.
        metadata_url: the metadata service, by default that of ``OCI_METADATA_BASE_URL``, else the link-local address.
        federation_endpoint: the whole URL to get tokens from, by default ``https://auth.{region}.{domain}/v1/x509``.
        digest: how the certificate is named to the token service. ``SHA256`` is what the newer official SDKs send,
            ``SHA1`` what the Python SDK does.
        environ: the environment variables, by default those of the process.
        clock: our time in seconds since the epoch.
        sleep: waits between attempts.
        fetch: sends the requests; by default straight to their hosts, never through a proxy.

    Raises `ValueError` for a malformed argument, `ConfigError` for a malformed variable. `sign` raises
    `CredentialsError`, naming what was asked, what came back and the way out.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        metadata_url: str | None = None,
        federation_endpoint: str | None = None,
        digest: Digest = "SHA256",
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        fetch: Fetch = send,
    ) -> None:
        super().__init__("the instance's token", _CLOCK, clock=clock, sleep=sleep)
        if digest not in ("SHA1", "SHA256"):
            raise ValueError(f"digest={digest!r} must be 'SHA1' or 'SHA256'")
        self._region = None if region is None else check_region(region)
        self._federation = check_service_url(federation_endpoint)
        self._metadata_urls = _metadata_urls(metadata_url, environ)
        self._digest: Final = digest
        self._environ = environ
        self._fetch = fetch
        self._tenancy: str | None = None

    @property
    def tenancy(self) -> str | None:
        """The OCID of the instance's tenancy, once its certificate has been read."""
        return self._tenancy

    @property
    def region(self) -> str | None:
        """The region given, else the instance's own once it has been asked for a token."""
        return region_name(self._region, self._environ) if self._region else None

    async def _obtain(self) -> Credentials:
        identity = await self._identify()
        url = self._federation or await self._discover()
        key = await asyncio.to_thread(PrivateKey.generate)
        fields: dict[str, object] = {
            "certificate": identity.certificate.text,
            "publicKey": key.public_text,
            "intermediateCertificates": [certificate.text for certificate in identity.intermediates],
        }
        if self._digest == "SHA256":
            fields["fingerprintAlgorithm"] = "SHA256"
        request = self._sign(identity, url, json.dumps(fields).encode())
        what = "the token service"
        body = await ask(self._fetch, request, what, clock=self._clock, unreachable=_NO_GATEWAY, hints=_HINTS)
        token = Token.parse(token_of(body, f"{what} at {url}"), f"the token that {url} gave", _CLOCK)
        self._tenancy = identity.tenancy
        return Credentials(token, key)

    def _sign(self, identity: _Identity, url: str, body: bytes) -> FetchRequest:
        parts = urlsplit(url)
        request = SigningRequest("POST", parts.netloc, parts.path, formatdate(self._clock(), usegmt=True), body)
        kind, digest = "fed-x509", identity.certificate.sha1
        if self._digest == "SHA256":
            kind, digest = "fed-x509-sha256", identity.certificate.sha256
        headers = signed_headers(request, identity.key, f"{identity.tenancy}/{kind}/{digest}", sign_host=False)
        return FetchRequest(method="POST", url=url, headers=headers, body=body)

    async def _identify(self) -> _Identity:
        leaf = await self._metadata("/identity/cert.pem")
        pem = await self._metadata("/identity/key.pem")
        intermediate = await self._metadata("/identity/intermediate.pem")
        base = self._metadata_urls[0]
        from ..auth.certificates import (  # noqa: PLC0415  # X.509 is slow to import, and only instances need it
            Certificate,
        )

        certificate = Certificate.load(leaf, f"the certificate at {base}/identity/cert.pem")
        key = PrivateKey.load(pem, origin=f"the private key at {base}/identity/key.pem")
        if not certificate.belongs_to(key):
            raise TryAgainError(f"the certificate and the private key at {base}/identity do not belong together")
        if certificate.tenancy is None:
            raise CredentialsError(f"the certificate at {base}/identity/cert.pem names no tenancy; is this OCI?")
        if self._tenancy not in (None, certificate.tenancy):
            raise CredentialsError(
                f"the instance's certificate was of tenancy {self._tenancy} and is now of {certificate.tenancy}; "
                "if that is right, make a new signer"
            )
        origin = f"the certificate at {base}/identity/intermediate.pem"
        return _Identity(certificate, key, Certificate.load_all(intermediate, origin), certificate.tenancy)

    async def _discover(self) -> str:
        if self._region is not None:
            return f"{auth_url(require_region(self._region, self._environ))}/v1/x509"
        name = (await self._metadata("/instance/region")).decode("utf-8", "replace").strip().lower()
        region = find_region(name, self._environ)
        if region is None:
            origin = f"region information at {self._metadata_urls[0]}/instance/regionInfo"
            text = (await self._metadata("/instance/regionInfo")).decode("utf-8", "replace")
            region = parse_region_metadata(text, origin)
        self._region = region.identifier
        return f"{auth_url(region)}/v1/x509"

    async def _metadata(self, path: str) -> bytes:
        """The answer of the first address that answers; from then on, only that one is asked."""
        failed: UnreachableError | None = None
        for base in self._metadata_urls:
            request = FetchRequest(
                method="GET", url=base + path, headers=_METADATA_HEADERS, connect=_METADATA_CONNECT_S
            )
            try:
                body = await ask(
                    self._fetch,
                    request,
                    "the metadata service",
                    clock=self._clock,
                    unreachable=_ONLY_THERE,
                    transient=frozenset({404}),
                )
            except UnreachableError as error:
                failed = failed or error
            else:
                self._metadata_urls = (base,)
                return body
        raise failed or CredentialsError("there is no metadata service to ask")


def _metadata_urls(argument: str | None, environ: Mapping[str, str] | None) -> tuple[str, ...]:
    if argument is not None:
        return (check_metadata_url(argument),)
    setting = from_environment(environ, "OCI_METADATA_BASE_URL")
    return (setting.parse(check_metadata_url),) if setting else _METADATA_URLS
