"""The deletion of one kernel, by one of its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from ..errors import AidpError, CredentialsError, NotFoundError, PreconditionFailedError, ServiceError, TransportError
from ..models import WorkspaceRef
from .plan import CullResult, kernels_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import Session, SessionSummary
    from .access import Access

MAX_LOST: Final = 2
"""Deletions of one kernel whose responses may be lost: the kernel is read again after each, and deleted once more."""


class Finding(NamedTuple):
    result: CullResult
    reason: str | None = None
    error: AidpError | None = None


GONE: Final = Finding(CullResult.GONE)


@attrs.define
class Deletion:
    """Deletes the kernel of *session*, as it was listed right before.

    Attributes:
        reason_to_keep: compares the session that was read with the one that was listed; ``None``: delete it.
        sent: collects the ids of the requests.
        lost: deletions whose responses were lost, so that they may have worked.
        failure: of the latest deletion.
    """

    access: Access
    session: SessionSummary
    reason_to_keep: Callable[[Session], str | None]
    sent: list[str]
    lost: int = 0
    failure: AidpError | None = None

    async def run(self) -> Finding:
        """Read the session and delete it, again after a failure that can pass; a read precedes every deletion."""
        attempt, may_delete = 0, True
        while True:
            session = await self._read()
            if isinstance(session, Finding):
                return session
            if not may_delete:
                return Finding(CullResult.FAILED, "it could not be deleted", self.failure)
            attempt += 1
            error = await self._delete(session)
            if error is None:
                return Finding(CullResult.DELETED)
            if isinstance(error, Finding):
                return error
            self.failure = error
            self.lost += _may_have_worked(error)
            may_delete = await self.access.pause(error, attempt) and self.lost < MAX_LOST
            if not (self.lost or may_delete):
                return Finding(CullResult.FAILED, "it could not be deleted", error)

    async def _read(self) -> Session | Finding:
        try:
            session = await self.access.get_session(self._workspace, self.session.id or "", self.sent)
        except NotFoundError as error:
            return await self._find_missing(error)
        except AidpError as error:
            result = CullResult.UNKNOWN if self.lost else CullResult.FAILED
            return Finding(result, "its session could not be read", error)
        reason = self.reason_to_keep(session)
        return session if reason is None else Finding(CullResult.CHANGED, reason)

    async def _delete(self, session: Session) -> Finding | AidpError | None:
        try:
            await self.access.delete_session(self._workspace, session.id, session.etag, self.sent)
        except PreconditionFailedError:
            return Finding(CullResult.CHANGED, "its session has changed since it was read")
        except AidpError as error:
            return await self._find_missing(error) if error.status in (404, 410) else error
        return None

    async def _find_missing(self, error: AidpError) -> Finding:
        """The session was answered 404: deleted by us, or by others, or we lack the permission."""
        if self.lost:
            return Finding(CullResult.DELETED, "the response was lost, and the session is gone")
        try:
            sessions = await self.access.list_sessions(self._workspace, self.sent)
        except AidpError as unlisted:
            return Finding(CullResult.FAILED, "the workspace could not be listed again", unlisted)
        if self.session.id in {session.id for session in sessions}:
            return Finding(CullResult.DENIED, "the service lists the session, but answers 404", error)
        kernels = {kernel_id for kernel_id, _ in kernels_of(sessions, self._workspace.key) if kernel_id is not None}
        kernel = self.session.kernel
        return Finding(CullResult.CHANGED, "it has other sessions") if kernel and kernel.id in kernels else GONE

    @property
    def _workspace(self) -> WorkspaceRef:
        return WorkspaceRef(self.session.workspace_key, self.session.workspace_name)


def _may_have_worked(error: AidpError) -> bool:
    """Whether the service may have deleted the session: it was reached, and did not refuse."""
    if isinstance(error, ServiceError):
        return (error.status or 0) >= 500
    return not (isinstance(error, CredentialsError) or (isinstance(error, TransportError) and error.unsent))
