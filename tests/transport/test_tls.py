"""Certificates of the service and of the client: one that does not verify is final, and nothing is sent."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from aidp_sessions import AidpError, ConnectionFailedError, RequestTimeoutError, RetryPolicy, SessionsClient, Timeout

from ..helpers.raw_server import RawServer, Times, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONCE: Final = RetryPolicy.none()


async def failure_of(client: SessionsClient) -> AidpError:
    with pytest.raises(AidpError) as caught:
        await client.list_sessions("k")
    return caught.value


async def test_a_tls_handshake_that_hangs_exceeds_the_connect_timeout() -> None:
    async with RawServer() as server:
        endpoint = f"https://127.0.0.1:{server.port}"
        timeout = Timeout(connect=0.05, read=5.0, total=5.0)
        async with server.client(endpoint=endpoint, timeout=timeout, retry=ONCE) as client:
            error = await failure_of(client)

    assert (type(error), error.message) == (RequestTimeoutError, "the connect timeout of 0.05 s ran out")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_server(authority: trustme.CA) -> AsyncIterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with RawServer(answer(), tls=context) as server:
        yield server


@pytest.mark.parametrize("problem", ["unknown authority", "other host"])
async def test_a_certificate_that_does_not_verify_is_final_and_nothing_is_sent(
    authority: trustme.CA, tls_server: RawServer, problem: str
) -> None:
    times, context = Times(), ssl.create_default_context()
    endpoint = tls_server.url
    if problem == "other host":
        authority.configure_trust(context)
        endpoint = f"https://localhost:{tls_server.port}"
    async with tls_server.client(endpoint=endpoint, ssl=context, clock=times.clock) as client:
        error = await failure_of(client)

    assert isinstance(error, ConnectionFailedError)
    assert error.permanent
    assert len(error.request_ids) == 1
    assert (times.sleeps, tls_server.received) == ([], [])


async def test_a_certificate_that_has_expired_is_final_and_nothing_is_sent(authority: trustme.CA) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    authority.configure_trust(trusting)
    async with RawServer(answer(), tls=context) as server, server.client(ssl=trusting) as client:
        error = await failure_of(client)

    assert isinstance(error, ConnectionFailedError)
    assert error.permanent
    assert "expired" in error.message
    assert (len(error.request_ids), server.received) == (1, [])


async def test_a_private_authority_is_trusted_if_its_context_is_given(
    authority: trustme.CA, tls_server: RawServer
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with tls_server.client(ssl=context) as client:
        await client.list_sessions("k")

    assert tls_server.received[0].is_signed


async def test_a_client_certificate_is_shown_to_a_service_that_asks_for_one(authority: trustme.CA) -> None:
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asking.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(asking)
    authority.configure_trust(asking)
    knowing = ssl.create_default_context()
    authority.configure_trust(knowing)
    async with RawServer(answer(), tls=asking) as server:
        async with server.client(ssl=knowing, retry=ONCE) as client:
            anonymous = await failure_of(client)
        authority.issue_cert("us@example.invalid").configure_cert(knowing)
        async with server.client(ssl=knowing) as client:
            await client.list_sessions("k")

    assert isinstance(anonymous, ConnectionFailedError)
    assert len(server.received) == 1
