"""The clients that are compared, each as one function that asks many workspaces; imported when used."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import floors
from .fan_out import FanOut, in_threads, in_workers
from .load import load
from .payload import PLATFORM, path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aidp_sessions import SessionsClient

    from .target import Target

    Peer = Callable[[Target], contextlib.AbstractAsyncContextManager[FanOut]]

_MAX_CONCURRENCY: Final = 256


def our_client(target: Target) -> SessionsClient:
    from aidp_sessions import SessionsClient  # noqa: PLC0415

    return SessionsClient(PLATFORM, signer=target.signer(), endpoint=target.url, max_concurrency=_MAX_CONCURRENCY)


@contextlib.asynccontextmanager
async def ours(target: Target) -> AsyncIterator[FanOut]:
    async with our_client(target) as client:

        async def fan_out(keys: Sequence[str], concurrency: int) -> int:
            count = 0
            async for _ in client.sessions(keys, max_concurrency=concurrency):
                count += 1
            return count

        yield fan_out


def notebook_client(target: Target) -> Any:  # noqa: ANN401  # the SDK has no types
    """The official client, without retries and without a circuit breaker: neither is to be timed."""
    from aidp_python_client.aidataplatform_dp import NotebookClient  # noqa: PLC0415
    from oci.circuit_breaker import NoCircuitBreakerStrategy  # noqa: PLC0415
    from oci.retry import NoneRetryStrategy  # noqa: PLC0415

    return NotebookClient(
        target.oci_config(),
        service_endpoint=target.url,
        retry_strategy=NoneRetryStrategy(),
        circuit_breaker_strategy=NoCircuitBreakerStrategy(),
    )


@contextlib.asynccontextmanager
async def official(target: Target, threads: int) -> AsyncIterator[FanOut]:
    """One client per thread, because the pool of one client has only ten connections."""
    here = threading.local()

    def ask(key: str) -> int:
        if not hasattr(here, "client"):
            here.client = notebook_client(target)
        return len(here.client.list_sessions(PLATFORM, key).data.items)

    yield in_threads(ask, threads)


def async_base_client(target: Target) -> Any:  # noqa: ANN401  # the SDK has no types
    """The SDK's own asynchronous client, with the models of the official one."""
    from aidp_python_client.aidataplatform_dp.models import aidataplatform_dp_type_mapping  # noqa: PLC0415
    from oci.async_base_client import AsyncBaseClient  # noqa: PLC0415
    from oci.retry import NoneRetryStrategy  # noqa: PLC0415
    from oci.signer import Signer  # noqa: PLC0415

    config = target.oci_config()
    signer = Signer(config["tenancy"], config["user"], config["fingerprint"], None, private_key_content=target.pem)
    return AsyncBaseClient(
        "notebook",
        config,
        signer,
        aidataplatform_dp_type_mapping,
        service_endpoint=target.url,
        retry_strategy=NoneRetryStrategy(),
    )


async def ask_async_base_client(client: Any, key: str) -> list[Any]:  # noqa: ANN401  # the SDK has no types
    response = await client.call_api(path_of(key), "GET", response_type="SessionCollection")
    sessions: list[Any] = response.data.items
    return sessions


@contextlib.asynccontextmanager
async def oci_async(target: Target) -> AsyncIterator[FanOut]:
    async with async_base_client(target) as client:

        async def ask(key: str) -> int:
            return len(await ask_async_base_client(client, key))

        yield in_workers(ask)


@contextlib.asynccontextmanager
async def generator(target: Target) -> AsyncIterator[FanOut]:
    async def fan_out(keys: Sequence[str], concurrency: int) -> int:
        return await load(target.url, list(keys), concurrency)

    yield fan_out


PEERS: Final[dict[str, Peer]] = {
    "aidp_sessions": ours,
    "NotebookClient": partial(official, threads=1),
    "NotebookClient, 16 threads": partial(official, threads=16),
    "NotebookClient, 64 threads": partial(official, threads=64),
    "oci AsyncBaseClient": oci_async,
    "floor: sign, send, decode": floors.signed_and_decoded,
    "floor: send only": floors.fetched,
    "load generator": generator,
}
