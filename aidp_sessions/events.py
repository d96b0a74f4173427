"""The events of calls and attempts, for logs, metrics and traces: plain values that a listener receives.

A call is one operation, with all its pages and retries; an attempt is one HTTP request. The events of a call come in
this order:

```text
CallStarted  (AttemptStarted AttemptEnded [RetryScheduled])*  CallEnded
```

Another attempt follows for a retry, for the repetition after a 401 (with refreshed credentials or a corrected clock),
or for the next page. An attempt that is cancelled, or ended by `Timeout.total`, has neither status nor error.

The listener is a plain function. It runs in the task that makes the call, so it must return quickly. What it raises
goes to the event loop's exception handler and does not change the call. Events hold no credentials and no queries, and
no headers or bodies except what an error keeps of them.

```python
def log(event: Event) -> None:
    match event:
        case AttemptEnded(call=call, seconds=seconds, status=status):
            print(f"{call.method} {call.route} {call.workspace_key}: {status} after {seconds:.3f} s")
        case RetryScheduled(call=call, delay=delay, error=error):
            print(f"{call.operation} again in {delay:.1f} s: {error}")
        case CallEnded(call=call, attempts=attempts, error=error):
            print(f"{call.operation} took {attempts} attempts: {error or 'ok'}")

async with SessionsClient.from_config(on_event=log) as client:
    await client.sessions().collect()
```

`aidp_sessions.otel` makes spans and metrics of these events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from .errors import AidpError


@attrs.frozen(kw_only=True, eq=False)
class CallInfo:
    """The call that an event is about. All events of a call share one; it can be the key of a dictionary.

    Attributes:
        operation: such as ``"list_sessions"``, ``"delete_session"``, ``"list_workspaces"`` or ``"request"``.
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
        opc_request_id: that of its `AttemptStarted`.
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
"""What a listener receives."""
Listener: TypeAlias = Callable[[Event], None]
"""What ``SessionsClient(on_event=…)`` takes."""
