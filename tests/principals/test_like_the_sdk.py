"""The official signers work with the local servers, and ours send them equal requests."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from typing import TYPE_CHECKING, Any, cast

import attrs
import oci
import oci.auth.signers.instance_principals_security_token_signer as instance_module
import pytest

from aidp_sessions import (
    Clock,
    DelegationTokenSigner,
    InstancePrincipalSigner,
    OkeWorkloadIdentitySigner,
    ResourcePrincipalSigner,
    SessionTokenSigner,
    from_oci_signer,
)
from aidp_sessions._transport.fetch import fetch
from aidp_sessions.auth.keys import PrivateKey
from aidp_sessions.testing import LocalMetadata, LocalProxymux, LocalService, LocalTokenService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.credentials import (
    GET,
    POST,
    TENANCY,
    jwt,
    key,
    pem,
)
from ..helpers.principals import client_of, key_id, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from aidp_sessions.auth.signing import Signer
    from aidp_sessions.testing import RecordedAuthRequest

FOREVER = 4_000_000_000


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    async with LocalService() as service:
        service.add_workspace("k", [])
        yield service


@pytest.fixture
async def metadata() -> AsyncIterator[LocalMetadata]:
    async with LocalMetadata() as metadata:
        yield metadata


@pytest.fixture
async def tokens(service: LocalService) -> AsyncIterator[LocalTokenService]:
    async with LocalTokenService(trusting=service) as tokens:
        yield tokens


@pytest.fixture
async def proxymux(service: LocalService) -> AsyncIterator[LocalProxymux]:
    async with LocalProxymux(trusting=service) as proxymux:
        yield proxymux


@pytest.fixture(autouse=True)
def no_connection_of_the_package_stays_open() -> Iterator[None]:
    """The package's signers cannot be closed."""
    yield
    for thing in gc.get_objects():
        if isinstance(thing, oci._vendor.requests.Session):
            thing.close()


async def official(make: Callable[[], object]) -> Signer:
    """Run the official constructor, which blocks while it asks the servers, in a thread; then adapt its signer."""
    return from_oci_signer(await asyncio.to_thread(make))


async def serves(service: LocalService, signer: Signer) -> None:
    async with client_of(service, signer) as client:
        await client.list_sessions("k")


def shape(request: RecordedAuthRequest) -> tuple[object, ...]:
    """A request without its keys and dates, which differ each time."""
    fields = {
        name: re.sub(r"[A-Za-z0-9+/=]{300,}", "<key>", str(value)) if name in ("publicKey", "podKey") else value
        for name, value in (request.fields if request.body else {}).items()
    }
    return request.method, request.target, fields, request.signed, request.key_id, request.headers.get("content-type")


class TestInstance:
    @pytest.fixture
    def make_official(
        self, metadata: LocalMetadata, tokens: LocalTokenService, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., object]:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", metadata.url)

        def make(**more: object) -> object:
            return oci.auth.signers.InstancePrincipalsSecurityTokenSigner(federation_endpoint=tokens.x509_url, **more)

        return make

    async def test_the_official_signer_works(
        self, make_official: Callable[..., object], service: LocalService, tokens: LocalTokenService
    ) -> None:
        signer = await official(make_official)

        await serves(service, signer)

        assert key_id(await signer.sign(GET)) == f"ST${tokens.issued[-1]}"

    async def test_ours_sends_equal_requests_with_the_digest_that_it_uses(
        self,
        make_official: Callable[..., object],
        metadata: LocalMetadata,
        tokens: LocalTokenService,
        service: LocalService,
    ) -> None:
        await official(make_official)
        theirs, asked = [*map(shape, tokens.requests)], {request.target for request in metadata.requests}
        tokens.requests.clear()
        metadata.requests.clear()

        ours = InstancePrincipalSigner(federation_endpoint=tokens.x509_url, digest="SHA1")
        await serves(service, ours)
        await InstancePrincipalSigner(digest="SHA1", fetch=tokens_at(tokens)).sign(GET)

        assert [*map(shape, tokens.requests)] == theirs * 2
        assert {request.target for request in metadata.requests} == asked
        leaf_digest = str(tokens.requests[0].key_id).rpartition("/")[2]
        assert re.fullmatch(r"([0-9A-F]{2}:){19}[0-9A-F]{2}", leaf_digest)
        assert str(tokens.requests[0].key_id).startswith(f"{_identity.TENANCY}/fed-x509/")

    async def test_ours_names_the_certificate_by_sha256_otherwise_as_the_newer_sdks_do(
        self, metadata: LocalMetadata, tokens: LocalTokenService, service: LocalService
    ) -> None:
        signer = InstancePrincipalSigner(metadata_url=metadata.url, federation_endpoint=tokens.x509_url)

        await serves(service, signer)

        (request,) = tokens.requests
        assert request.fields["fingerprintAlgorithm"] == "SHA256"
        assert re.fullmatch(
            rf"{_identity.TENANCY}/fed-x509-sha256/([0-9a-f]{{2}}:){{31}}[0-9a-f]{{2}}", str(request.key_id)
        )

    async def test_a_delegation_token_is_signed_at_the_same_place(
        self, make_official: Callable[..., object], tokens: LocalTokenService, metadata: LocalMetadata
    ) -> None:
        theirs = await official(
            lambda: oci.auth.signers.InstancePrincipalsDelegationTokenSigner(
                delegation_token="delegated", federation_endpoint=tokens.x509_url
            )
        )
        inner = InstancePrincipalSigner(federation_endpoint=tokens.x509_url)
        ours = DelegationTokenSigner(inner, token="delegated")

        for request in (GET, POST):
            names = [signed_names(await signer.sign(request)) for signer in (ours, theirs)]
            assert names[0] == names[1]
            assert (await ours.sign(request))["opc-obo-token"] == "delegated"

    async def test_the_service_is_asked_for_in_the_region_that_the_official_signer_finds(
        self, make_official: Callable[..., object], metadata: LocalMetadata, tokens: LocalTokenService
    ) -> None:
        theirs = cast("Any", await asyncio.to_thread(make_official))
        ours = InstancePrincipalSigner(fetch=tokens_at(tokens))
        await ours.sign(GET)

        assert ours.region == theirs.region == "us-ashburn-1"
        assert (ours.tenancy, theirs.tenancy_id) == (_identity.TENANCY, _identity.TENANCY)
        assert oci.regions.endpoint_for("auth", theirs.region) == "https://auth.us-ashburn-1.oraclecloud.com"

    async def test_both_refuse_a_certificate_of_another_tenancy_later_on(
        self, make_official: Callable[..., object], metadata: LocalMetadata, tokens: LocalTokenService
    ) -> None:
        theirs = cast("Any", await asyncio.to_thread(make_official))
        skew = [0.0]
        clock = Clock(time=lambda: time.time() + skew[0])
        ours = InstancePrincipalSigner(federation_endpoint=tokens.x509_url, clock=clock)
        await ours.sign(GET)
        metadata.tenancy = TENANCY
        metadata.rotate()
        skew[0] = 10_000.0

        with pytest.raises(RuntimeError, match="tenancy"):
            await asyncio.to_thread(theirs.refresh_security_token)
        with pytest.raises(Exception, match="tenancy"):
            await ours.sign(GET)

    def test_the_addresses_are_the_official_ones(self) -> None:
        official_signer = instance_module.InstancePrincipalsSecurityTokenSigner
        addresses = (official_signer.DEFAULT_METADATA_URL_BASE, official_signer.DEFAULT_METADATA_URL_BASE_IPV6)

        assert InstancePrincipalSigner(environ={})._metadata_urls == addresses


def tokens_at(tokens: LocalTokenService) -> Any:
    """A function to send requests that redirects those for the region's token service to loopback."""

    async def redirected(request: Any) -> Any:
        where = request.url.replace("https://auth.us-ashburn-1.oraclecloud.com", tokens.origin)
        return await fetch(attrs.evolve(request, url=where))

    return redirected


def signed_names(headers: Any) -> str:
    return str(headers["authorization"]).partition('headers="')[2].partition('"')[0]


class TestOke:
    async def test_the_official_signer_works_and_ours_sends_equal_requests(
        self, proxymux: LocalProxymux, service: LocalService, tmp_path: Path
    ) -> None:
        token, ca_file = proxymux.write_pod(tmp_path)
        provider = oci.auth.rpt_path_providers.DefaultServiceAccountTokenProvider()
        provider.override_sa_token_path(str(token))
        theirs = await official(
            lambda: oci.auth.signers.OkeWorkloadIdentityResourcePrincipalSigner(
                provider, str(ca_file), proxymux.host, proxymux.port, region="iad"
            )
        )
        ours = OkeWorkloadIdentitySigner(
            host=proxymux.host,
            port=proxymux.port,
            service_account_token_file=token,
            ca_file=ca_file,
            region="iad",
            environ={},
        )

        for signer in (theirs, ours):
            await serves(service, signer)

        assert shape(proxymux.requests[0]) == shape(proxymux.requests[1])
        assert ours.region == "us-ashburn-1"
        assert len(proxymux.issued) == 2

    async def test_both_find_everything_in_the_same_variables(
        self, proxymux: LocalProxymux, service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token, ca_file = proxymux.write_pod(tmp_path)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", proxymux.host)
        monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(ca_file))
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "phx")
        monkeypatch.setattr(
            oci.auth.signers.resource_principals_signer, "OCI_KUBERNETES_PROXYMUX_SERVICE_PORT", proxymux.port
        )
        make = oci.auth.signers.get_oke_workload_identity_resource_principal_signer
        theirs = cast("Any", await asyncio.to_thread(lambda: make(service_account_token_path=str(token))))
        ours = OkeWorkloadIdentitySigner(port=proxymux.port, service_account_token_file=token)

        for signer in (from_oci_signer(theirs), ours):
            await serves(service, signer)

        assert (ours.region, theirs.region) == ("us-phoenix-1", "us-phoenix-1")


class TestResource:
    @pytest.fixture(params=["values", "files"])
    def environ(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        token = jwt(exp=FOREVER, res_tenant=TENANCY)
        values = {"RPST": token, "PRIVATE_PEM": pem()}
        if request.param == "files":
            for name, value in values.items():
                (tmp_path / name).write_text(value)
            values = {name: str(tmp_path / name) for name in values}
        for name, value in {**values, "VERSION": "2.2", "REGION": "iad"}.items():
            monkeypatch.setenv(f"OCI_RESOURCE_PRINCIPAL_{name}", value)
        return token

    async def test_the_signature_is_the_one_of_the_official_signer(self, environ: str) -> None:
        theirs = cast("Any", oci.auth.signers.get_resource_principals_signer())
        ours = ResourcePrincipalSigner()

        for request in (GET, POST):
            signed = await ours.sign(request)
            adapted = await from_oci_signer(theirs).sign(request)
            assert {name: adapted[name] for name in signed} == signed

        assert (ours.region, ours.tenancy) == (theirs.region, theirs.tenancy_id) == ("us-ashburn-1", TENANCY)

    async def test_the_signature_with_a_delegation_token_is_the_one_of_the_official_signer(self, environ: str) -> None:
        theirs = oci.auth.signers.get_resource_principal_delegation_token_signer(delegation_token="delegated")
        ours = DelegationTokenSigner(ResourcePrincipalSigner(), token="delegated")

        for request in (GET, POST):
            signed = await ours.sign(request)
            adapted = await from_oci_signer(theirs).sign(request)
            assert {name: adapted[name] for name in signed} == signed


class TestSession:
    async def test_the_official_signer_asks_for_a_new_token_as_ours_does(
        self, tokens: LocalTokenService, service: LocalService, tmp_path: Path
    ) -> None:
        """The official package only signs the request; its command line, which sends it, is not installed."""
        token = tokens.open_session(key(), lifetime=200.0)
        file = tmp_path / "token"
        file.write_text(token)
        theirs = oci.auth.signers.SecurityTokenSigner(token, oci.signer.load_private_key(pem(), None))
        session = oci._vendor.requests.Session()
        send = lambda: session.post(tokens.refresh_url, json={"currentToken": token}, auth=theirs)  # noqa: E731
        answer = await asyncio.to_thread(send)
        session.close()
        ours = SessionTokenSigner(
            token_file=file,
            private_key=key(),
            refresh_endpoint=tokens.refresh_url,
            clock=Clock(time=lambda: time.time() + 160),
        )
        await ours.sign(GET)
        await settled()

        assert answer.status_code == 200
        assert shape(tokens.requests[0]) == shape(tokens.requests[1])

    async def test_the_official_signer_signs_as_ours_does(
        self, tokens: LocalTokenService, service: LocalService
    ) -> None:
        private = PrivateKey.load(pem())
        token = tokens.open_session(private)
        theirs = from_oci_signer(oci.auth.signers.SecurityTokenSigner(token, oci.signer.load_private_key(pem(), None)))
        ours = SessionTokenSigner(token=token, private_key=private)

        for signer in (theirs, ours):
            await serves(service, signer)
        signed, adapted = await ours.sign(POST), await theirs.sign(POST)

        assert {name: adapted[name] for name in signed} == signed
