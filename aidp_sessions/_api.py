"""The two listings, page after page: what the client's operations and streams are made of."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

import attrs

from ._operations.buffering import Delivery
from ._operations.failures import raw_response
from ._operations.listings import (
    decode_workspaces,
    next_token,
    sessions_target,
    unless_unchanged,
    with_page,
    workspaces_queries,
)
from ._operations.messages import Request, clock_skew
from .results import SessionCollection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from ._operations.buffering import Emit
    from ._operations.listings import SessionPage
    from ._operations.messages import Answer
    from ._transport.call import Call
    from ._transport.exchange import Transport
    from .models import SessionSummary, WorkspaceSummary
    from .policies import Sleep
    from .results import Response

_WITHOUT_SESSIONS: Final = frozenset({"CREATING", "DELETING", "DELETED", "FAILED"})


def can_hold_sessions(workspace: WorkspaceSummary) -> bool:
    return workspace.lifecycle_state.upper() not in _WITHOUT_SESSIONS


@attrs.frozen(eq=False, repr=False)
class Listing:
    """Lists by way of *transport*.

    Attributes:
        workspaces_path: the path under which the platform's workspaces live.
    """

    transport: Transport
    workspaces_path: str

    async def sessions(
        self,
        workspace_key: str,
        query: str,
        *,
        opc_request_id: str | None = None,
        sleep: Sleep | None = None,
        known: SessionCollection | None = None,
        responses: list[Response] | None = None,
    ) -> SessionCollection:
        """List a workspace. *responses* takes in the raw answers; then none is decoded before it is whole."""
        delivery = Delivery(workspace_key)
        sink, decode = (delivery, delivery.decode) if responses is None else (None, _keeping(responses, delivery))
        target = sessions_target(self.workspaces_path, workspace_key, query)
        etag = known.etag if known and known.etag and known.etag.isascii() else None
        with self.transport.call("list_sessions", workspace_key, opc_request_id=opc_request_id, sleep=sleep) as call:
            request = Request(target, {"if-none-match": etag} if etag else {}, sink)
            first = await call.send(request, unless_unchanged(decode))
            if first is None:
                return cast("SessionCollection", known)
            last = await _rest(call, request, first, delivery, decode)
        return SessionCollection(
            items=delivery.rest(),
            etag=first.etag if last is first else None,
            opc_request_id=last.opc_request_id,
            extra=first.extra,
            responses=() if responses is None else tuple(responses),
        )

    async def deliver(
        self, query: str, workspace_key: str, sleep: Sleep, emit: Emit | None
    ) -> Callable[[], tuple[SessionSummary, ...]]:
        """List a workspace: return a way to get its sessions, but *emit* those of a large answer as they come.

        Those are decoded when they are got, so that a workspace's sessions come to life when somebody wants them, and
        not while those of many others wait. A listener hears of a call when it is over, so then they are decoded here.
        """
        call = self.transport.call("list_sessions", workspace_key, sleep=sleep)
        delivery = Delivery(workspace_key, emit and (lambda sessions: call.unhurried(emit(sessions))))
        decode = delivery.defer if self.transport.observer is None else delivery.decode
        target = sessions_target(self.workspaces_path, workspace_key, query)
        with call:
            request = Request(target, sink=delivery)
            await _rest(call, request, await call.send(request, decode), delivery, decode)
        return lambda: call.afterwards(delivery.rest)

    async def workspaces(self, queries: Iterable[str]) -> AsyncGenerator[WorkspaceSummary]:
        """The workspaces that any of *queries* finds, each once."""
        known: set[str] = set()
        for query in queries:
            target = f"{self.workspaces_path}?{query}"
            token: str | None = None
            seen: set[str] = set()
            while True:
                with self.transport.call("list_workspaces") as call:
                    page = await call.send(Request(with_page(target, token)), decode_workspaces)
                    token = next_token(page.next_page, seen)
                for workspace in page.workspaces:
                    if workspace.key not in known:  # pages shift while workspaces come and go
                        known.add(workspace.key)
                        yield workspace
                if token is None:
                    break

    async def workspace_keys(self) -> AsyncGenerator[str]:
        """The workspaces that can hold sessions, those in private networks included."""
        async for workspace in self.workspaces(workspaces_queries({})):
            if can_hold_sessions(workspace):
                yield workspace.key

    async def clock_skew(self) -> timedelta | None:
        with self.transport.call("list_workspaces") as call:
            skew = await call.send(Request(f"{self.workspaces_path}?limit=1"), self._skew)
        return None if skew is None else timedelta(seconds=skew)

    def _skew(self, answer: Answer) -> float | None:
        return clock_skew(answer.headers, self.transport.clock.time())


async def _rest(
    call: Call, first: Request, page: SessionPage, delivery: Delivery, decode: Callable[[Answer], SessionPage]
) -> SessionPage:
    """Add *page*, the answer to *first*, and those after it to *delivery*; returns the last."""
    seen = set[str]()
    await delivery.add(page)
    while token := next_token(page.next_page, seen):
        page = await call.send(Request(with_page(first.target, token), sink=first.sink), decode)
        await delivery.add(page)
    return page


def _keeping(responses: list[Response], delivery: Delivery) -> Callable[[Answer], SessionPage]:
    def decode(answer: Answer) -> SessionPage:
        responses.append(raw_response(answer))
        return delivery.decode(answer)

    return decode
