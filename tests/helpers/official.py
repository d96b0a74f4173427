"""The official, synchronous clients, as oracles for ours and for the local service."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import oci
from aidp_python_client.aidataplatform_dp import ClusterClient, NotebookClient, WorkspaceClient
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.retry import NoneRetryStrategy

from aidp_sessions.testing import LocalService

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from aidp_sessions import SessionSummary

T = TypeVar("T")
OPTIONS: Final = {"retry_strategy": NoneRetryStrategy(), "circuit_breaker_strategy": NoCircuitBreakerStrategy()}


class Official:
    """The official, synchronous clients, and a service in a thread with its own loop."""

    def __init__(self, runner: asyncio.Runner, service: LocalService) -> None:
        self.service = service
        self._runner = runner
        config, options = service.oci_config(), {"service_endpoint": service.url, "enable_strict_url_encoding": True}
        self._notebooks = NotebookClient(config, **options, **OPTIONS)
        self._workspaces = WorkspaceClient(config, **options, **OPTIONS)
        self._clusters = ClusterClient(config, **options, **OPTIONS)

    def list_sessions(self, key: str, **filters: str) -> Any:  # the SDK has no types
        return self._call(self._notebooks.list_sessions, self.service.platform_id, key, **filters)

    def ours(self, key: str) -> tuple[SessionSummary, ...]:
        async def ask() -> tuple[SessionSummary, ...]:
            async with self.service.client() as client:
                return (await client.list_sessions(key)).items

        return self._runner.run(ask())

    def list_workspaces(self, **filters: str) -> Any:  # the SDK has no types
        """All pages, as the SDK's own pagination follows them."""
        return self._call(
            oci.pagination.list_call_get_all_results,
            self._workspaces.list_workspaces,
            self.service.platform_id,
            **filters,
        )

    def on_session(self, operation: str, key: str, *args: object, **options: str) -> Any:  # the SDK has no types
        """Call ``create_session``, ``get_session``, ``patch_session`` or ``delete_session``."""
        return self._call(getattr(self._notebooks, operation), self.service.platform_id, key, *args, **options)

    def list_clusters(self, key: str, **filters: object) -> Any:  # the SDK has no types
        """All pages, as the SDK's own pagination follows them."""
        return self._call(
            oci.pagination.list_call_get_all_results,
            self._clusters.list_clusters,
            self.service.platform_id,
            key,
            **filters,
        )

    def run(self, work: Coroutine[None, None, T]) -> T:
        return self._runner.run(work)

    def _call(self, function: Callable[..., Any], *args: object, **options: object) -> Any:  # the SDK has no types
        return self._runner.run(asyncio.to_thread(function, *args, **options))


@contextmanager
def running_official(*, workspace_page_size: int = 100) -> Iterator[Official]:
    with asyncio.Runner() as runner:
        service = LocalService(workspace_page_size=workspace_page_size)
        runner.run(service.start())
        yield Official(runner, service)
        runner.run(service.aclose())
