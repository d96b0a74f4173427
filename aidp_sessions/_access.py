"""What culling is given to reach the service."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from ._operations.messages import clock_skew
from .errors import AidpError, ResponseDecodeError, ServiceError
from .policies import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ._api import Api
    from .models import AttachedSession, Session, SessionSummary, WorkspaceRef


@attrs.frozen(eq=False, repr=False)
class CullAccess:
    """Reads sessions with retries, and deletes them without: culling reads a session again before it repeats that."""

    api: Api

    @property
    def max_concurrency(self) -> int:
        return self.api.transport.limiter.max_limit

    async def read_clock(self) -> Callable[[], datetime]:
        """Ask the service for its time; one that may not list workspaces tells it with its refusal."""
        time = self.api.transport.clock.time
        try:
            skew = await self.api.clock_skew()
            offset = None if skew is None else skew.total_seconds()
        except ServiceError as error:
            offset = clock_skew(error.headers, time())
        if offset is None:
            raise ResponseDecodeError("the service does not tell its time, from which idle times are counted", "date")
        return lambda: datetime.fromtimestamp(time() + offset, UTC)

    async def list_sessions(self, workspace: WorkspaceRef, sent: list[str] | None = None) -> Sequence[SessionSummary]:
        return (await self.api.list_sessions(workspace, "", sent=sent)).items

    async def list_attached(self, workspace: WorkspaceRef) -> Sequence[AttachedSession]:
        return [
            attached async for cluster in self.api.list_clusters(workspace) for attached in cluster.attached_sessions
        ]

    async def get_session(self, workspace: WorkspaceRef, session_id: str, sent: list[str]) -> Session:
        with _refusing_unusable():
            return await self.api.get_session(workspace, session_id, sent=sent)

    async def delete_session(
        self, workspace: WorkspaceRef, session_id: str, if_match: str | None, sent: list[str]
    ) -> None:
        once = attrs.evolve(self.api, transport=attrs.evolve(self.api.transport, retry=RetryPolicy.none()))
        with _refusing_unusable():
            await once.delete_session(workspace, session_id, if_match=if_match, sent=sent)

    async def pause(self, error: AidpError, attempt: int) -> bool:
        transport = self.api.transport
        delay = transport.retry.delay(error, attempt, transport.clock.random)
        if delay is not None:
            await transport.clock.sleep(delay)
        return delay is not None


@contextmanager
def _refusing_unusable() -> Generator[None]:
    """An id or etag of the service that cannot be sent fails one kernel, as a wrong answer, and not the iteration."""
    try:
        yield
    except ValueError as error:
        raise ResponseDecodeError(f"the service named a session in a way that cannot be sent: {error}") from None
