"""Opens a session for a while: finds or creates it, waits for its kernel, and deletes it if it is new."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ._operations.failures import attach_call
from .errors import AidpError, NotFoundError, RequestTimeoutError, ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from ._api import Api
    from ._options import OpenOptions
    from .models import Session, WorkspaceRef

_ACTIVE: Final = "ACTIVE"
_FAILED: Final = "FAILED"
_MIN_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 5.0
_log = logging.getLogger("aidp_sessions")


@asynccontextmanager
async def open_session(
    api: Api, workspace: WorkspaceRef, path: str, seconds: float, options: OpenOptions
) -> AsyncGenerator[Session]:
    """The session of *path*, once it has a kernel. One that was not listed before is deleted in the end."""
    # Without a filter: if the service writes the path differently, an existing session would be taken for a new one.
    listed = {session.id for session in await api.list_sessions(workspace, api.sessions_target(workspace))}
    session = await api.create_session(workspace, path, **options)
    is_new = session.id not in listed
    try:
        yield await _wait_until_ready(api, workspace, session, seconds)
    except BaseException:
        if is_new:
            await _try_to_delete(api, workspace, session.id)
        raise
    if is_new:
        await _delete(api, workspace, session.id)


async def _delete(api: Api, workspace: WorkspaceRef, session_id: str) -> None:
    try:
        await api.delete_session(workspace, session_id)
    except NotFoundError:
        _log.debug("session %s of workspace %s was deleted before it was closed", session_id, workspace.key)


async def _try_to_delete(api: Api, workspace: WorkspaceRef, session_id: str) -> None:
    """Delete the session without hiding the exception that is under way."""
    try:
        await _delete(api, workspace, session_id)
    except AidpError as error:
        _log.warning("session %s is left behind: %s", session_id, error)


async def _wait_until_ready(api: Api, workspace: WorkspaceRef, session: Session, seconds: float) -> Session:
    try:
        async with asyncio.timeout(seconds):
            pauses = _pauses(seconds)
            while _missing(session):
                if session.lifecycle_state == _FAILED:
                    raise _failure(ServiceError(f"session {session.id} is {_FAILED}"), workspace, session)
                await api.transport.clock.sleep(next(pauses))
                session = await api.get_session(workspace, session.id)
    except TimeoutError:
        message = f"session {session.id} was not ready after {seconds:g} s: {_missing(session)}"
        raise _failure(RequestTimeoutError(message), workspace, session) from None
    return session


def _pauses(seconds: float) -> Iterator[float]:
    """Pauses between looks, *seconds* seconds together; then raises `TimeoutError`, also if no time passes in them."""
    pause = _MIN_PAUSE_S
    while seconds > 0:
        yield min(pause, seconds)
        seconds -= pause
        pause = min(2 * pause, _MAX_PAUSE_S)
    raise TimeoutError


def _missing(session: Session) -> str:
    """What the session lacks; empty if it can be used. A state that the service does not tell is no obstacle."""
    missing: list[str] = []
    if session.lifecycle_state not in (None, _ACTIVE):
        missing.append(f"its lifecycle_state is {session.lifecycle_state}")
    if session.kernel is None:
        missing.append("it has no kernel")
    return " and ".join(missing)


def _failure(error: AidpError, workspace: WorkspaceRef, session: Session) -> AidpError:
    attach_call(error, "open_session", workspace, ())
    error.opc_request_id = session.opc_request_id
    return error
