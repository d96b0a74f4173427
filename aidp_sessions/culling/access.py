"""What culling needs of the service."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from ..errors import ResponseDecodeError
from ..policies import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .._api import Api
    from ..errors import AidpError
    from ..models import AttachedSession, Session, SessionSummary, WorkspaceRef


@attrs.frozen(eq=False, repr=False)
class Access:
    """Reads sessions with retries, and deletes them without: culling reads a session again before it repeats that.

    Every method raises an `AidpError` for what fails. *sent* collects the ids of the requests.
    """

    api: Api

    @property
    def max_concurrency(self) -> int:
        return self.api.transport.limiter.max_limit

    async def list_sessions(self, workspace: WorkspaceRef, sent: list[str] | None = None) -> Sequence[SessionSummary]:
        """All sessions, of every page and without a filter."""
        return (await self.api.list_sessions(workspace, self.api.sessions_target(workspace), sent=sent)).items

    async def list_attached(self, workspace: WorkspaceRef) -> Sequence[AttachedSession]:
        """The sessions that are attached to any cluster."""
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
        """Wait as the retry policy says after *attempt* (from 1) failed; return false at once if it says to give up."""
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
