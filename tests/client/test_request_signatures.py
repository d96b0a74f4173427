"""Every request is sent as it was signed, and the local service and the official SDK agree on its signature."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import oci
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci._vendor import requests

from aidp_sessions import Response, SessionsClient, SigningRequest, from_oci_signer
from aidp_sessions.auth.signing import signed_headers
from aidp_sessions.testing import LocalService
from aidp_sessions.testing._service import identity as _identity
from aidp_sessions.testing._service.verify import SIGNED_WITH_BODY, why_refused

from .test_request import METHODS, WITH_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.define
class Place:
    """A service in a thread with its own loop, and a signer of the official SDK with a key that it knows."""

    runner: asyncio.Runner
    service: LocalService
    sdk: oci.signer.Signer

    def ask(self, client: SessionsClient, *arguments: Any, **options: Any) -> Response:
        async def once() -> Response:
            async with client:
                return await client.request(*arguments, **options)

        return self.runner.run(once())


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with asyncio.Runner() as runner:
        service = LocalService()
        runner.run(service.start())
        config = service.oci_config()
        names = ("tenancy", "user", "fingerprint")
        sdk = oci.signer.Signer(
            *(config[name] for name in names), private_key_file_location=None, private_key_content=config["key_content"]
        )
        yield Place(runner, service, sdk)
        runner.run(service.aclose())


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.strip() and text not in (".", "..")
)


@settings(max_examples=20)
@given(st.sampled_from(METHODS), texts, st.dictionaries(texts, texts, max_size=2), st.binary(max_size=100))
@pytest.mark.parametrize("ours", [True, False], ids=["our signer", "the SDK's signer"])
def test_every_request_is_sent_as_it_was_signed(  # noqa: PLR0917  # generated
    ours: bool, place: Place, method: str, segment: str, query: dict[str, str], body: bytes
) -> None:
    """The service verifies line, headers and body as it received them."""
    service = place.service
    service.answer(method, f"x/{quote(segment, safe='')}")
    signer = service.signer if ours else from_oci_signer(place.sdk)
    client = SessionsClient(service.platform_id, signer=signer, endpoint=service.url)
    options: dict[str, Any] = {"body": body} if method in WITH_BODY else {}

    assert place.ask(client, method, "x/{segment}", {"segment": segment}, query=query, **options).status == 200
    assert service.requests[-1].body == (body if method in WITH_BODY else b"")


@pytest.mark.parametrize("method", METHODS)
def test_the_service_accepts_requests_signed_by_the_official_sdk(place: Place, method: str) -> None:
    place.service.answer(method, "/x")
    options: dict[str, Any] = {"data": b'{"a": 1}', "headers": {"content-type": "application/json"}}

    async def ask() -> Any:
        url = f"{place.service.url}/x?y=z"
        extra = options if method in WITH_BODY else {}
        return await asyncio.to_thread(requests.request, method, url, auth=place.sdk, **extra)

    assert place.runner.run(ask()).status_code == 200


NOW: Final = 1_790_000_000.0
SIGNED: Final = SigningRequest("POST", "h", "/x", formatdate(NOW, usegmt=True), b"{}")


def why(body: bytes, *, method: str = "POST") -> str | None:
    headers = signed_headers(attrs.evolve(SIGNED, method=method), _identity.private_key(), "me")
    keys = {"me": _identity.private_key()}
    signed = SIGNED_WITH_BODY if method == "POST" else SIGNED_WITH_BODY[:2]
    return why_refused(method, "/x", headers, keys, NOW, signed=signed, body=body)


def test_the_service_refuses_a_body_that_was_not_signed() -> None:
    assert why(b"{}") is None
    assert why(b"{ }") == "The body does not match the hash that was signed."
    assert why(b"{}", method="GET") == "The body does not match the hash that was signed."


def test_the_service_requires_a_signed_body() -> None:
    headers = signed_headers(attrs.evolve(SIGNED, method="GET"), _identity.private_key(), "me")
    digest = b64encode(hashlib.sha256(b"{}").digest()).decode()
    keys = {"me": _identity.private_key()}

    problem = why_refused(
        "POST", "/x", {**headers, "x-content-sha256": digest}, keys, NOW, signed=SIGNED_WITH_BODY, body=b"{}"
    )

    assert problem == "The signature does not cover content-length."
