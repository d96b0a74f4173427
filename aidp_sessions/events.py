"""What a listener is told while calls run: plain values for logs, metrics and traces. Never calls anything itself.

A call is one operation from its first attempt to its result. Its events come in this order::

    CallStarted  (AttemptStarted AttemptEnded [RetryScheduled])*  CallEnded

An attempt follows another for a retry, after a 401 that better credentials or a corrected clock may cure, or for the
next page; in the last case the one before ended without an error. Events are equal only to themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from .errors import AidpError


@attrs.frozen(kw_only=True, eq=False)
class CallInfo:
    """Which call an event is about. Equal only to itself, so it can be the key of a dictionary.

    Attributes:
        operation: ``"list_sessions"``, ``"list_workspaces"`` or ``"request"``.
        workspace_key: the workspace that is asked, if the operation concerns one.
        method: of the HTTP requests.
        route: the path with names in place of its values, such as
            ``/20260430/aiDataPlatforms/{aiDataPlatformId}/workspaces``; there are only a few of them.
        server: scheme, host and port that requests go to.
        platform_id: OCID of the AI Data Platform.
        opc_request_id: of the first attempt; those of later ones add a number to it.
    """

    operation: str
    workspace_key: str | None
    method: str
    route: str
    server: str
    platform_id: str
    opc_request_id: str


@attrs.frozen(kw_only=True, eq=False)
class CallStarted:
    """A call begins; it may have to wait for a slot before its first attempt. One `CallEnded` will follow."""

    call: CallInfo


@attrs.frozen(kw_only=True, eq=False)
class AttemptStarted:
    """A request got its slot and is about to be signed and sent.

    Attributes:
        attempt: counts the requests of the call, those for further pages included, from 1.
        opc_request_id: sent with this request.
    """

    call: CallInfo
    attempt: int
    opc_request_id: str


@attrs.frozen(kw_only=True, eq=False)
class AttemptEnded:
    """A request was answered, or failed, or was broken off: then it has neither status nor error.

    Attributes:
        attempt: that of its `AttemptStarted`.
        opc_request_id: likewise.
        seconds: from its start to the last byte of the answer.
        status: of the answer, if there was one.
        error: why the answer is no good, or why there is none. What belongs to the whole call, such as
            `AidpError.request_ids`, is filled in later.
    """

    call: CallInfo
    attempt: int
    opc_request_id: str
    seconds: float
    status: int | None
    error: AidpError | None


@attrs.frozen(kw_only=True, eq=False)
class RetryScheduled:
    """The request will be sent again.

    Attributes:
        attempt: the one that failed.
        delay: seconds before the next is due; the wait for a slot comes on top.
        error: what it failed with.
    """

    call: CallInfo
    attempt: int
    delay: float
    error: AidpError


@attrs.frozen(kw_only=True, eq=False)
class CallEnded:
    """The call is over.

    Attributes:
        seconds: since its `CallStarted`.
        attempts: how many requests were sent.
        error: what it raises to its caller, `asyncio.CancelledError` included; ``None`` if it succeeded.
    """

    call: CallInfo
    seconds: float
    attempts: int
    error: BaseException | None


Event: TypeAlias = CallStarted | AttemptStarted | AttemptEnded | RetryScheduled | CallEnded
Listener: TypeAlias = Callable[[Event], None]
