"""What culling needs of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ..errors import AidpError
    from ..models import AttachedSession, Session, SessionSummary, WorkspaceRef


class Access(Protocol):
    """Reads and deletes sessions; raises an `AidpError` for what fails. *sent* collects the ids of the requests.

    Attributes:
        max_concurrency: the most workspaces to read at once.
    """

    @property
    def max_concurrency(self) -> int: ...

    async def read_clock(self) -> Callable[[], datetime]:
        """A function that returns the service's present time."""
        ...

    async def list_sessions(self, workspace: WorkspaceRef, sent: list[str] | None = None) -> Sequence[SessionSummary]:
        """All sessions, of every page and without a filter."""
        ...

    async def list_attached(self, workspace: WorkspaceRef) -> Sequence[AttachedSession]:
        """The sessions that are attached to any cluster."""
        ...

    async def get_session(self, workspace: WorkspaceRef, session_id: str, sent: list[str]) -> Session: ...

    async def delete_session(
        self, workspace: WorkspaceRef, session_id: str, if_match: str | None, sent: list[str]
    ) -> None:
        """Send the request once, without retries."""
        ...

    async def pause(self, error: AidpError, attempt: int) -> bool:
        """Wait as the retry policy says after *attempt* (from 1) failed; return false at once if it says to give up."""
        ...
