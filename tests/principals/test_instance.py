"""An instance's signer; each missing or malformed part of its environment has its own message with a remedy."""

from __future__ import annotations

import contextlib
import json
import ssl
import warnings
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_sessions import AidpError, ConfigError, CredentialsError, InstancePrincipalSigner
from aidp_sessions._transport.fetch import fetch
from aidp_sessions.auth.certificates import Certificate
from aidp_sessions.auth.regions import region_name
from aidp_sessions.testing import Fault, LocalMetadata, LocalTokenService
from aidp_sessions.testing._service import identity as _identity

from ..helpers.credentials import (
    GET,
    TENANCY,
    fingerprint,
    jwt,
    key,
    pem,
    rsa_key,
)
from ..helpers.principals import HandClock, token_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aidp_sessions._operations.messages import RawResponse
    from aidp_sessions._transport.fetch import FetchRequest

ONLY_THERE = (
    "instance principals exist on OCI compute instances only; elsewhere use another auth, "
    "or set OCI_METADATA_BASE_URL if the metadata service has another address"
)


@attrs.define
class Instance:
    clock: HandClock
    metadata: LocalMetadata
    tokens: LocalTokenService

    def signer(self, **changes: Any) -> InstancePrincipalSigner:
        given = {"metadata_url": self.metadata.url} if "metadata_url" not in changes else {}
        arguments = {
            **given,
            "federation_endpoint": self.tokens.x509_url,
            "clock": self.clock.clock,
            **changes,
        }
        return InstancePrincipalSigner(**arguments)

    async def message(self, **changes: Any) -> str:
        with pytest.raises(AidpError) as caught:
            await self.signer(**changes).sign(GET)
        assert type(caught.value) in (CredentialsError, ConfigError)
        return str(caught.value)


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    clock = HandClock()
    async with LocalMetadata(clock=clock) as metadata, LocalTokenService(clock=clock) as tokens:
        yield Instance(clock, metadata, tokens)


class TestMetadata:
    @pytest.mark.parametrize(
        ("path", "content", "problem"),
        [
            ("/identity/cert.pem", b"", "the certificate at {url}/identity/cert.pem is empty; "),
            ("/identity/cert.pem", b"<html>", "the certificate at {url}/identity/cert.pem is not a certificate"),
            ("/identity/key.pem", b" ", "the private key at {url}/identity/key.pem is empty; "),
            ("/identity/key.pem", b"x", "the private key at {url}/identity/key.pem is not a PEM private key; "),
            ("/identity/intermediate.pem", b"x", "the certificate at {url}/identity/intermediate.pem is not a cert"),
            ("/identity/key.pem", pem(3).encode(), "the certificate and the private key at {url}/identity do not "),
        ],
    )
    async def test_the_error_names_the_address_of_a_malformed_answer(
        self, path: str, content: bytes, problem: str, instance: Instance
    ) -> None:
        instance.metadata.contents[path] = content

        assert (await instance.message()).startswith(problem.format(url=instance.metadata.url))

    async def test_a_missing_answer_is_retried_and_then_named(self, instance: Instance) -> None:
        del instance.metadata.contents["/identity/key.pem"]

        assert await instance.message() == (
            f"the metadata service at {instance.metadata.url}/identity/key.pem answered 404 NotAuthorizedOrNotFound: "
            "Authorization failed or requested resource not found. (4 attempts)"
        )
        assert instance.clock.sleeps == [1.0, 2.0, 4.0]

    async def test_without_a_metadata_service_the_error_says_that_this_is_no_instance(self, instance: Instance) -> None:
        url = instance.metadata.url
        await instance.metadata.aclose()

        message = await instance.message(metadata_url=url)

        assert message.startswith(f"the metadata service cannot be reached at {url}/identity/cert.pem: ")
        assert message.endswith(f"; {ONLY_THERE} (4 attempts)")

    async def test_a_request_that_was_cut_off_is_retried_only_after_a_pause(self, instance: Instance) -> None:
        instance.metadata.fail(Fault(cut="before_headers"))

        await instance.signer().sign(GET)

        assert instance.clock.sleeps == [1.0]

    async def test_a_certificate_that_names_no_tenancy_is_refused(self, instance: Instance) -> None:
        nameless = certificate("opc-instance:ocid1")
        instance.metadata.contents["/identity/cert.pem"] = nameless
        instance.metadata.contents["/identity/key.pem"] = pem().encode()

        assert await instance.message() == (
            f"the certificate at {instance.metadata.url}/identity/cert.pem names no tenancy; is this OCI?"
        )

    async def test_it_is_asked_again_for_each_token_so_a_new_certificate_is_used(self, instance: Instance) -> None:
        signer = instance.signer()
        await signer.sign(GET)
        instance.metadata.rotate()
        instance.clock.now += 4000
        await signer.sign(GET)

        first, second = instance.tokens.requests
        assert first.key_id != second.key_id
        assert first.fields["publicKey"] != second.fields["publicKey"]

    async def test_without_ipv4_the_other_address_is_asked_and_from_then_on_only_that(self, instance: Instance) -> None:
        asked = []

        async def only_ipv6(request: FetchRequest) -> RawResponse:
            asked.append(request.url)
            if "169.254" in request.url:
                closed = "http://127.0.0.1:9/"
                return await fetch(attrs.evolve(request, url=closed))
            return await fetch(
                attrs.evolve(
                    request, url=request.url.replace("http://[fd00:c1::a9fe:a9fe]/opc/v2", instance.metadata.url)
                )
            )

        await instance.signer(metadata_url=None, environ={}, fetch=only_ipv6).sign(GET)

        assert asked[:4] == [
            "http://169.254.169.254/opc/v2/identity/cert.pem",
            "http://[fd00:c1::a9fe:a9fe]/opc/v2/identity/cert.pem",
            "http://[fd00:c1::a9fe:a9fe]/opc/v2/identity/key.pem",
            "http://[fd00:c1::a9fe:a9fe]/opc/v2/identity/intermediate.pem",
        ]

    async def test_the_variable_names_another_address_unless_it_is_blank(self, instance: Instance) -> None:
        environ = {"OCI_METADATA_BASE_URL": f" {instance.metadata.url}/ "}
        await instance.signer(metadata_url=None, environ=environ).sign(GET)

        blank = InstancePrincipalSigner(environ={"OCI_METADATA_BASE_URL": "  "})

        assert len(instance.metadata.requests) == 3
        assert blank._metadata_urls[0] == "http://169.254.169.254/opc/v2"

    def test_a_malformed_variable_is_named(self) -> None:
        with pytest.raises(ConfigError) as caught:
            InstancePrincipalSigner(environ={"OCI_METADATA_BASE_URL": "169.254.169.254"})

        assert str(caught.value) == (
            "OCI_METADATA_BASE_URL: metadata URL '169.254.169.254' has no scheme; did you mean 'http://169.254.169.254'?"
        )

    async def test_no_proxy_of_the_environment_is_used(
        self, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")

        assert token_in(await instance.signer().sign(GET)) == instance.tokens.issued[0]


class TestRegion:
    @pytest.mark.parametrize(
        ("content", "url"),
        [
            (b"iad", "https://auth.us-ashburn-1.oraclecloud.com/v1/x509"),
            (b" PHX\n", "https://auth.us-phoenix-1.oraclecloud.com/v1/x509"),
            (b"us-gov-ashburn-1", "https://auth.us-gov-ashburn-1.oraclegovcloud.com/v1/x509"),
        ],
    )
    async def test_the_token_service_is_that_of_the_instances_region(
        self, content: bytes, url: str, instance: Instance
    ) -> None:
        instance.metadata.contents["/instance/region"] = content

        assert await asked_for_tokens(instance) == [url]

    @pytest.mark.parametrize("name", [b"xyz", b"", b"<html>", b"\xff", b"x" * 64])
    async def test_an_unknown_region_is_described_by_the_metadata(self, name: bytes, instance: Instance) -> None:
        info = {"regionIdentifier": "eu-x-1", "regionKey": "XYZ", "realmKey": "oc99", "realmDomainComponent": "x.com"}
        instance.metadata.contents["/instance/region"] = name
        instance.metadata.contents["/instance/regionInfo"] = json.dumps(info).encode()

        assert await asked_for_tokens(instance, signatures=2) == 2 * ["https://auth.eu-x-1.x.com/v1/x509"]

    async def test_a_malformed_description_of_a_region_is_named(self, instance: Instance) -> None:
        instance.metadata.contents["/instance/region"] = b"xyz"
        instance.metadata.contents["/instance/regionInfo"] = b"[]"

        message = await instance.message(federation_endpoint=None)

        assert message.startswith(
            f"region information at {instance.metadata.url}/instance/regionInfo must be one JSON object with the keys "
        )

    async def test_a_given_region_takes_precedence_over_the_instances_own(self, instance: Instance) -> None:
        assert await asked_for_tokens(instance, region="LHR") == ["https://auth.uk-london-1.oraclecloud.com/v1/x509"]

    async def test_a_given_region_that_is_unknown_is_named(self, instance: Instance) -> None:
        assert await instance.message(region="eu-x-1", federation_endpoint=None, environ={}) == (
            "region 'eu-x-1' is not known; describe it in OCI_REGION_METADATA"
        )

    def test_short_codes_of_regions_are_expanded(self) -> None:
        assert [region_name(name, {}) for name in ("iad", "IAD", "us-ashburn-1", "eu-x-1")] == [
            "us-ashburn-1",
            "us-ashburn-1",
            "us-ashburn-1",
            "eu-x-1",
        ]


async def asked_for_tokens(instance: Instance, *, signatures: int = 1, **changes: Any) -> list[str]:
    """The URLs from which tokens were requested for *signatures*; all answers come from loopback."""
    asked = []

    async def redirected(request: FetchRequest) -> RawResponse:
        if request.method == "POST":
            asked.append(request.url)
            request = attrs.evolve(request, url=instance.tokens.x509_url)
        return await fetch(request)

    signer = instance.signer(federation_endpoint=None, environ={}, fetch=redirected, **changes)
    for _ in range(signatures):
        instance.tokens.fail(Fault(status=400))
        with pytest.raises(CredentialsError, match="answered 400"):
            await signer.sign(GET)
        instance.clock.now += 60
    return asked


class TestTokens:
    @pytest.mark.parametrize("status", [401, 403, 404])
    async def test_a_refusal_is_final_and_names_the_remedy(self, status: int, instance: Instance) -> None:
        instance.tokens.fail(Fault(status=status, code="Code", message="No."))

        assert await instance.message() == (
            f"the token service at {instance.tokens.x509_url} answered {status} Code: No.; "
            "add the instance to a dynamic group, and check its tenancy and its clock"
        )
        assert instance.clock.sleeps == []

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"<html>", "the token service at {url} answered with something that is not JSON"),
            (b"[" * 100_000, "the token service at {url} answered with something that is not JSON"),
            (b'{"token": ' * 100_000, "the token service at {url} answered with something that is not JSON"),
            (b"\xff", "the token service at {url} answered with something that is not JSON"),
            (b"[]", "the token service at {url} answered without a token: its JSON has no text field 'token'"),
            (b'{"token": 5}', "the token service at {url} answered without a token: its JSON has no text field"),
            (b'{"token": "canary"}', "the token from {url} is not a JWT; check this machine's clock"),
            (
                json.dumps({"token": f"e30.{urlsafe_b64encode(b'[' * 99_999).decode()}.x"}).encode(),
                "the token from {url} is a damaged JWT, its claims cannot be read; ",
            ),
            (
                json.dumps({"token": jwt(sub="canary")}).encode(),
                "the token from {url} has no usable 'exp', the time at which it expires; ",
            ),
        ],
    )
    async def test_an_answer_without_a_usable_token_is_named_and_not_quoted(
        self, body: bytes, problem: str, instance: Instance
    ) -> None:
        instance.tokens.fail(Fault(body=body))

        message = await instance.message()

        assert message.startswith(problem.format(url=instance.tokens.x509_url))
        assert "canary" not in message

    async def test_an_endless_answer_is_an_error(self, instance: Instance) -> None:
        instance.tokens.fail(Fault(body=b" " * 2_000_000))

        assert "larger than" in await instance.message()

    async def test_a_redirect_is_not_followed(self, instance: Instance) -> None:
        instance.tokens.fail(Fault(status=302, headers={"location": f"{instance.metadata.url}/instance/id"}))

        assert "answered 302" in await instance.message()
        assert "/opc/v2/instance/id" not in [request.target for request in instance.metadata.requests]

    async def test_a_clock_that_is_off_is_named(self, instance: Instance) -> None:
        message = await instance.message(clock=HandClock(instance.clock.now + 4000).clock)

        assert "this machine's clock is 4000 s ahead of the service's; " in message

    def test_a_token_service_without_tls_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must use https"):
            InstancePrincipalSigner(federation_endpoint="http://auth.example/v1/x509")

    def test_an_unknown_digest_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^digest='MD5' must be 'SHA1' or 'SHA256'$"):
            InstancePrincipalSigner(digest="MD5")  # type: ignore[arg-type]  # that is the point


def certificate(*units: str, common_name: str | None = None) -> bytes:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    if common_name is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    name = x509.Name(attributes)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, rsa_key(0).public_key(), 1, now, now)
    return builder.sign(rsa_key(0), hashes.SHA256()).public_bytes(Encoding.PEM)


class TestCertificate:
    @settings(max_examples=30)
    @given(
        units=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), max_size=4),
        tenancy=st.text("abc.-0123456789é", min_size=1, max_size=200),
        mark=st.sampled_from(["opc-tenant:", "opc-identity:"]),
    )
    def test_the_tenancy_is_found_in_any_of_its_places(self, units: list[str], tenancy: str, mark: str) -> None:
        loaded = Certificate.load(certificate(*units, f"{mark}{tenancy}"), "x")

        assert loaded.tenancy == tenancy

    def test_the_tenancy_is_not_read_from_the_issuer(self) -> None:
        now = datetime(2030, 1, 1, tzinfo=UTC)
        issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"opc-tenant:{TENANCY}")])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "instance")])
        builder = x509.CertificateBuilder(issuer, subject, rsa_key(0).public_key(), 1, now, now)
        found = Certificate.load(builder.sign(rsa_key(0), hashes.SHA256()).public_bytes(Encoding.PEM), "x")

        assert found.tenancy is None

    def test_a_common_name_as_long_as_an_ocid_raises_no_warning(self) -> None:
        long = "ocid1.instance.oc1.iad." + "a" * 60
        short = certificate(f"opc-tenant:{TENANCY}", common_name="b" * 64)
        der = x509.load_pem_x509_certificate(short).public_bytes(Encoding.DER)
        longer = der.replace(b"b" * 64, long[:64].encode())

        assert Certificate.load(pem_of(longer), "x").tenancy == TENANCY

    def test_it_is_named_as_cryptography_names_it(self) -> None:
        loaded = Certificate.load(certificate("x"), "x")
        theirs = x509.load_pem_x509_certificate(certificate("x"))

        assert loaded.belongs_to(key())
        assert not loaded.belongs_to(key(1))
        assert loaded.sha1 == theirs.fingerprint(hashes.SHA1()).hex(":").upper()  # noqa: S303  # how it is named
        assert loaded.sha256 == theirs.fingerprint(hashes.SHA256()).hex(":")

    @given(place=st.integers(0, 1000), byte=st.integers(0, 255))
    def test_a_damaged_one_is_read_or_is_a_credentials_error(self, place: int, byte: int) -> None:
        der = bytearray(ssl.PEM_cert_to_DER_cert(certificate(f"opc-tenant:{TENANCY}").decode()))
        der[place % len(der)] = byte
        with contextlib.suppress(CredentialsError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cryptography warns about what it tolerates
            Certificate.load(pem_of(bytes(der)), "x")

    def test_all_certificates_of_a_chain_are_read(self) -> None:
        chain = certificate("a") + certificate("b")

        assert len(Certificate.load_all(chain, "x")) == 2


def pem_of(der: bytes) -> str:
    return ssl.DER_cert_to_PEM_cert(der)


async def test_no_secret_is_shown(instance: Instance) -> None:
    signer = instance.signer()
    before = repr(signer)
    await signer.sign(GET)

    shown = f"{signer!r} {signer} {vars(signer)!r}"

    assert before == "InstancePrincipalSigner(<no token yet>)"
    assert repr(signer) == "InstancePrincipalSigner(<valid until 2033-05-18 04:33:20 UTC>)"
    assert instance.tokens.issued[0] not in shown
    assert signer.tenancy == _identity.TENANCY
    assert fingerprint() not in shown
