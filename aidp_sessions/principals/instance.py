"""The signer of a compute instance: exchanges the instance's certificate for a session token.

Sources: "Calling Services from an Instance" and "Getting Instance Metadata" of the OCI documentation; the exchange is
that of the official SDKs for Python (SHA-1) and Go (SHA-256).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs

from .._transport.fetch import FetchRequest
from .._transport.fetch import fetch as send
from ..auth.config import argument_or_variable
from ..auth.regions import auth_url, find_region, region_name, require_region
from ..auth.threads import run_in_thread
from ..auth.token import Credentials
from ..endpoints import check_endpoint, check_url, parse_region_metadata
from ..errors import CredentialsError
from ..policies import Clock
from .refresh import TokenSigner
from .token_service import (
    Service,
    TransientCredentialsError,
    UnreachableError,
    fetch_body,
    fetch_token,
    signed_post,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._transport.fetch import Fetch
    from ..auth.certificates import Certificate
    from ..auth.keys import PrivateKey

Digest = Literal["SHA1", "SHA256"]

# The second serves instances without IPv4.
_METADATA_URLS: Final = ("http://169.254.169.254/opc/v2", "http://[fd00:c1::a9fe:a9fe]/opc/v2")
_METADATA_HEADERS: Final = {"authorization": "Bearer Oracle"}
_METADATA_CONNECT_S: Final = 2.0
_METADATA: Final = Service(
    "the metadata service",
    "instance principals exist on OCI compute instances only; elsewhere use another auth, "
    "or set OCI_METADATA_BASE_URL if the metadata service has another address",
    transient=frozenset({404}),
)
_TOKENS: Final = Service(
    "the token service",
    "check that the instance's subnet has a service gateway or another route to OCI",
    dict.fromkeys((401, 403, 404), "add the instance to a dynamic group, and check its tenancy and its clock"),
)
_CLOCK: Final = "check this machine's clock"


@attrs.frozen(eq=False, repr=False)
class _InstanceCertificate:
    """The certificate of the instance, from the metadata service; *leaf* was issued to the instance itself."""

    leaf: Certificate
    key: PrivateKey
    intermediates: tuple[Certificate, ...]
    tenancy: str


class InstancePrincipalSigner(TokenSigner):
    """Signs as the compute instance that it runs on.

    No request is sent before the first signature. The token is refreshed before it expires, each time with a new key
    and the instance's current certificate. Can be created outside an event loop, and used on one loop after another.

    Args:
        region: the region of the token service, name or short code; by default the instance's own.
        metadata_url: the metadata service; by default ``OCI_METADATA_BASE_URL``, else the link-local address.
        federation_endpoint: the full URL to get tokens from; by default ``https://auth.{region}.{domain}/v1/x509``.
        digest: the hash that names the certificate to the token service. The newer official SDKs send ``SHA256``, the
            Python SDK ``SHA1``.
        environ: the environment variables; by default those of the process.
        clock: time and sleep; for tests.
        fetch: sends the requests; by default directly, never through a proxy.

    Raises `ValueError` for a malformed argument, `ConfigError` for a malformed variable. `sign` raises
    `CredentialsError`, which names the request, the answer and a remedy.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        metadata_url: str | None = None,
        federation_endpoint: str | None = None,
        digest: Digest = "SHA256",
        environ: Mapping[str, str] | None = None,
        clock: Clock = Clock(),
        fetch: Fetch = send,
    ) -> None:
        from ..auth.certificates import Certificate  # noqa: PLC0415  # `cryptography` takes long to import

        super().__init__("the instance's token", _CLOCK, clock=clock)
        self._certificate_class: Final = Certificate
        if digest not in ("SHA1", "SHA256"):
            raise ValueError(f"digest={digest!r} must be 'SHA1' or 'SHA256'")
        self._region = None if region is None else region_name(region, environ)
        self._federation = None if federation_endpoint is None else check_endpoint(federation_endpoint)
        url = argument_or_variable(metadata_url, _check_metadata_url, environ, "OCI_METADATA_BASE_URL")
        self._metadata_urls: tuple[str, ...] = _METADATA_URLS if url is None else (url,)
        self._digest: Final = digest
        self._environ = environ
        self._fetch = fetch
        self._tenancy: str | None = None

    @property
    def tenancy(self) -> str | None:
        """The OCID of the instance's tenancy; ``None`` before the first token."""
        return self._tenancy

    async def _obtain(self) -> Credentials:
        certificate = await self._fetch_certificate()
        if self._federation is None:
            self._federation = await self._find_token_service()
        key = await run_in_thread(self._key_class.generate)
        fields: dict[str, object] = {
            "certificate": certificate.leaf.base64,
            "publicKey": key.public_key_base64,
            "intermediateCertificates": [intermediate.base64 for intermediate in certificate.intermediates],
        }
        key_id = f"{certificate.tenancy}/fed-x509/{certificate.leaf.sha1}"
        if self._digest == "SHA256":
            fields["fingerprintAlgorithm"] = "SHA256"
            key_id = f"{certificate.tenancy}/fed-x509-sha256/{certificate.leaf.sha256}"
        time = self._clock.time
        request = signed_post(self._federation, fields, certificate.key, key_id, now=time(), sign_host=False)
        token = await fetch_token(self._fetch, request, _TOKENS, time, remedy=_CLOCK)
        self._tenancy = certificate.tenancy
        return Credentials(token, key)

    async def _fetch_certificate(self) -> _InstanceCertificate:
        leaf_pem = await self._fetch_metadata("/identity/cert.pem")
        key_pem = await self._fetch_metadata("/identity/key.pem")
        intermediate_pem = await self._fetch_metadata("/identity/intermediate.pem")
        base = f"{self._metadata_urls[0]}/identity"
        leaf = self._certificate_class.load(leaf_pem, f"the certificate at {base}/cert.pem")
        key = self._key_class.load(key_pem, source=f"the private key at {base}/key.pem")
        if not leaf.belongs_to(key):
            raise TransientCredentialsError(f"the certificate and the private key at {base} do not belong together")
        if leaf.tenancy is None:
            raise CredentialsError(f"the certificate at {base}/cert.pem names no tenancy; is this OCI?")
        if self._tenancy not in (None, leaf.tenancy):
            raise CredentialsError(
                f"the instance's certificate named tenancy {self._tenancy} and now names {leaf.tenancy}; "
                "if that is right, create a new signer"
            )
        source = f"the certificate at {base}/intermediate.pem"
        intermediates = self._certificate_class.load_all(intermediate_pem, source)
        return _InstanceCertificate(leaf, key, intermediates, leaf.tenancy)

    async def _find_token_service(self) -> str:
        if self._region is not None:
            return f"{auth_url(require_region(self._region, self._environ))}/v1/x509"
        name = (await self._fetch_metadata("/instance/region")).decode("utf-8", "replace")
        try:
            region = find_region(name, self._environ)
        except ValueError:
            region = None
        if region is None:
            source = f"region information at {self._metadata_urls[0]}/instance/regionInfo"
            text = (await self._fetch_metadata("/instance/regionInfo")).decode("utf-8", "replace")
            region = parse_region_metadata(text, source)
        self._region = region.identifier
        return f"{auth_url(region)}/v1/x509"

    async def _fetch_metadata(self, path: str) -> bytes:
        """Fetch *path* from the first address that answers, and use only this address from then on."""
        failures: list[UnreachableError] = []
        for base in self._metadata_urls:
            request = FetchRequest(
                method="GET", url=base + path, headers=_METADATA_HEADERS, connect=_METADATA_CONNECT_S
            )
            try:
                body = await fetch_body(self._fetch, request, _METADATA, self._clock.time)
            except UnreachableError as error:
                failures.append(error)
            else:
                self._metadata_urls = (base,)
                return body
        raise failures[0]


def _check_metadata_url(url: str) -> str:
    return check_url(url, "metadata URL", plain_http=True)  # the metadata service speaks plain HTTP
