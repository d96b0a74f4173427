"""The README's statements about the official packages are true when they run against the local service."""

from __future__ import annotations

import asyncio
import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aidp_python_client
import aidp_python_client.aidataplatform_dp as official_clients
import oci
import pytest
from aidp_python_client.aidataplatform_dp import NotebookClient
from aidp_python_client.aidataplatform_dp.models import aidataplatform_dp_type_mapping
from oci.async_base_client import AsyncBaseClient
from oci.base_client import CircuitBreakerMonitor, circuitbreaker
from oci.circuit_breaker import DEFAULT_CIRCUIT_BREAKER_STRATEGY, NoCircuitBreakerStrategy
from oci.retry import NoneRetryStrategy

from aidp_sessions import RetryPolicy, SessionsClient, from_oci_signer
from aidp_sessions.testing import Fault, LocalService

from ..helpers.cli_runner import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

ONCE = NoneRetryStrategy()
NO_BREAKER = NoCircuitBreakerStrategy()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the official retries."""
    seconds: list[float] = []
    monkeypatch.setattr("oci.retry.retry.time.sleep", seconds.append)
    return seconds


@pytest.fixture
def breaker() -> Iterator[None]:
    yield
    CircuitBreakerMonitor.get(DEFAULT_CIRCUIT_BREAKER_STRATEGY.name).reset()


def notebooks(service: LocalService, **options: object) -> NotebookClient:
    return NotebookClient(service.oci_config(), service_endpoint=service.url, **options)


async def ask(
    service: LocalService, client: NotebookClient, key: str = "w", **options: object
) -> Any:  # the SDK has no types
    return await asyncio.to_thread(client.list_sessions, service.platform_id, key, **options)


def oci_signer(service: LocalService) -> oci.signer.Signer:
    config = service.oci_config()
    names = config["tenancy"], config["user"], config["fingerprint"]
    return oci.signer.Signer(*names, None, private_key_content=config["key_content"])


def test_the_official_package_covers_the_whole_platform() -> None:
    """It has about three hundred operations in twenty clients."""
    clients = [client for name, client in vars(official_clients).items() if name.endswith("Client")]
    operations = [name for client in clients for name in vars(client) if not name.startswith("_")]

    assert len(clients) == 20
    assert 280 < len(operations) < 320


def test_a_call_of_the_official_client_blocks() -> None:
    """No client of the package awaits anything or uses the asyncio client of `oci`."""
    sources = [path.read_text(encoding="utf-8") for path in Path(aidp_python_client.__path__[0]).rglob("*.py")]

    assert not inspect.iscoroutinefunction(NotebookClient.list_sessions)
    assert sources
    assert [source for source in sources if "async def" in source or "AsyncBaseClient" in source] == []


async def test_a_call_of_the_official_client_returns_one_page() -> None:
    async with LocalService(session_page_size=2) as service:
        service.add_workspace("w", [wire(str(number)) for number in range(5)])
        client = notebooks(service, retry_strategy=ONCE, circuit_breaker_strategy=NO_BREAKER)

        page = await ask(service, client)
        every = await asyncio.to_thread(
            oci.pagination.list_call_get_all_results, client.list_sessions, service.platform_id, "w"
        )
        async with service.client() as ours:
            sessions = await ours.list_sessions("w")

    assert (len(page.data.items), len(every.data), len(sessions)) == (2, 5, 5)


async def test_both_clients_ask_for_an_order_and_a_page_size_in_the_same_words(service: LocalService) -> None:
    service.add_workspace("w", [wire(str(number)) for number in range(3)])
    theirs = notebooks(service, retry_strategy=ONCE, circuit_breaker_strategy=NO_BREAKER)
    every = await ask(service, theirs, limit=3, sort_order="DESC", sort_by="timeCreated")
    async with service.client() as ours:
        listed = await ours.list_sessions("w", limit=3, sort_order="DESC", sort_by="timeCreated")

    assert [session.id for session in every.data.items] == [session.id for session in listed] == ["2", "1", "0"]
    assert len({request.target for request in service.requests}) == 1


async def test_the_official_client_makes_eight_attempts(service: LocalService, pauses: list[float]) -> None:
    service.add_workspace("w")
    service.fail("w", Fault(status=503, times=None))
    with pytest.raises(oci.exceptions.ServiceError):
        await ask(service, notebooks(service, circuit_breaker_strategy=NO_BREAKER))

    assert service.request_count == 8
    assert len(pauses) == 7
    assert RetryPolicy().attempts == 6


async def test_the_official_client_does_not_obey_retry_after(service: LocalService, pauses: list[float]) -> None:
    """After a 429 whose ``Retry-After`` says seven seconds."""
    service.add_workspace("w")
    service.fail("w", Fault(status=429, retry_after=7))

    await ask(service, notebooks(service, circuit_breaker_strategy=NO_BREAKER))

    (seconds,) = pauses
    assert 1 <= seconds <= 2


async def test_the_official_clients_share_a_circuit_breaker(service: LocalService, breaker: None) -> None:
    """After ten failures of one client, another sends nothing, unless it has no circuit breaker."""
    for key in ("broken", "healthy"):
        service.add_workspace(key)
    service.fail("broken", Fault(status=500, times=None))
    one, other = (notebooks(service, retry_strategy=ONCE) for _ in range(2))
    for _ in range(10):
        with pytest.raises(oci.exceptions.ServiceError):
            await ask(service, one, "broken")
    service.reset_counts()

    with pytest.raises(circuitbreaker.CircuitBreakerError):
        await ask(service, other, "healthy")
    refused = service.request_count
    third = await ask(service, notebooks(service, circuit_breaker_strategy=NO_BREAKER), "healthy")

    assert (refused, third.status) == (0, 200)
    assert DEFAULT_CIRCUIT_BREAKER_STRATEGY.recovery_timeout == 30


async def test_a_signer_of_the_official_package_works_with_both_clients(service: LocalService) -> None:
    service.add_workspace("w", [wire("1")])
    signer = oci_signer(service)
    theirs = await ask(service, notebooks(service, signer=signer, retry_strategy=ONCE))
    client = SessionsClient(service.platform_id, signer=from_oci_signer(signer), endpoint=service.url)
    async with client:
        ours = await client.list_sessions("w")

    assert [session.id for session in theirs.data.items] == [session.id for session in ours] == ["1"]
    assert all(find_spec(f"oci.auth.signers.{name}_signer") for name in ("pkcs11", "token_exchange"))


@pytest.mark.parametrize("path", ["Workspace/churn.ipynb", "a,b"])
async def test_the_asynchronous_base_client_signs_other_bytes_than_it_sends(service: LocalService, path: str) -> None:
    """Its signature is valid without the filter; ours is valid with it."""
    service.add_workspace("w", [{**wire("1"), "path": path}])
    route = f"/20260430/aiDataPlatforms/{service.platform_id}/workspaces/w/notebook/api/sessions"
    options = {"service_endpoint": service.url, "retry_strategy": ONCE}
    types = aidataplatform_dp_type_mapping
    async with AsyncBaseClient("notebook", service.oci_config(), oci_signer(service), types, **options) as client:
        all_of_them = await client.call_api(route, "GET", response_type="SessionCollection")
        with pytest.raises(oci.exceptions.ServiceError) as caught:
            await client.call_api(route, "GET", query_params={"path": path}, response_type="SessionCollection")
    async with service.client() as ours:
        found = await ours.list_sessions("w", path=path)

    assert [session.id for session in all_of_them.data.items] == ["1"]
    assert (caught.value.status, len(found)) == (401, 1)
