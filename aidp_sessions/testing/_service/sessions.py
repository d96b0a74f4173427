"""The sessions of one workspace in memory, and the kernels behind them. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from ..._convert.codec import to_wire
from ...models import ExecutionState, KernelSummary, SessionSummary
from .responses import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .listing import Wire

_CREATED: Final = ("path", "name", "type", "cluster_id", "agentFlowKey")
_PATCHED: Final = ("path", "name", "type", "cluster_id")


class MemorySessions:
    """The sessions as JSON objects in the form of the wire. Several sessions may contain the same kernel."""

    def __init__(
        self, sessions: Iterable[SessionSummary | Wire], clock: Callable[[], float], kernel_delay: float
    ) -> None:
        self._clock = clock
        self._kernel_delay = kernel_delay
        self._starting: list[tuple[float, object, Wire]] = []
        self._sessions: tuple[Wire, ...] = ()
        self.replace(sessions)

    def current(self) -> tuple[Wire, ...]:
        """Start the kernels that are due, and return all sessions: the same tuple until something changes."""
        for starting in [each for each in self._starting if each[0] <= self._clock()]:
            self._starting.remove(starting)
            self._start_kernel(*starting[1:])
        return self._sessions

    def replace(self, sessions: Iterable[SessionSummary | Wire]) -> None:
        self._sessions = tuple(_wire(session) for session in sessions)

    def put(self, session: SessionSummary | Wire) -> None:
        """Replace the session with the same id, or add *session*; raises `ValueError` without an id."""
        new = _wire(session)
        if new.get("id") is None:
            raise ValueError(f"the session {new!r} has no id")
        if any(each.get("id") == new["id"] for each in self.current()):
            self._sessions = tuple(new if each.get("id") == new["id"] else each for each in self._sessions)
        else:
            self._sessions += (new,)

    def put_kernel(self, kernel: KernelSummary | Wire) -> None:
        """Replace the kernel in every session that contains it; raises `KeyError` if there is none."""
        new = _wire(kernel)
        if self._kernel(new.get("id")) is None:
            raise KeyError(new.get("id"))
        self._sessions = tuple(
            {**each, "kernel": new} if kernel_id(each) == new["id"] else each for each in self._sessions
        )

    async def list(self) -> tuple[Wire, ...]:
        return self.current()

    async def create(self, details: Wire) -> tuple[Wire, bool]:
        """Return the session of the path in *details*, and whether it is new."""
        for session in self.current():
            if session.get("path") == details["path"]:
                return session, False
        name = str(details["path"]).rpartition("/")[2]
        new = {"id": str(uuid.uuid4()), "name": name, "type": "notebook", **_only(_CREATED, details)}
        return self._put_with_kernel(new, _kernel_details(details)), True

    async def patch(self, session: Wire, changes: Wire) -> Wire:
        """Return *session* with *changes*. If they ask for another kernel, the present one is shut down."""
        changed = {**session, **_only(_PATCHED, changes)}
        if not _asks_for_another_kernel(session, changes):
            self.put(changed)
            return changed
        details = _kernel_details(changes)
        if "id" in details and self._kernel(details["id"]) is None:
            raise HttpError(400, "kernel.id is not the id of a running kernel.")
        await self.delete(session)
        return self._put_with_kernel(changed, details)

    async def delete(self, session: Wire) -> None:
        """Shut the kernel of *session* down, which ends every session that contains it."""
        ended = kernel_id(session)
        self._sessions = tuple(
            each
            for each in self.current()
            if each.get("id") != session.get("id") and (ended is None or kernel_id(each) != ended)
        )

    def _kernel(self, wanted: object) -> object:
        """The kernel with this id, if it is running."""
        kernels = (each["kernel"] for each in self.current() if kernel_id(each) == wanted)
        return None if wanted is None else next(kernels, None)

    def _put_with_kernel(self, session: Wire, details: Wire) -> Wire:
        """Put *session* with the running kernel that *details* name, or with a new one, which may start later."""
        running = self._kernel(details.get("id"))
        self.put({**session, "lifecycleState": "CREATING" if running is None else "ACTIVE", "kernel": running})
        if running is None:
            self._starting.append((self._clock() + self._kernel_delay, session["id"], details))
        return next(each for each in self.current() if each.get("id") == session["id"])

    def _start_kernel(self, session_id: object, details: Wire) -> None:
        """Give the session a new kernel, unless it has changed in the meantime."""
        kernel = KernelSummary(
            id=str(details.get("id", uuid.uuid4())),
            name=str(details.get("name", "notebook")),
            execution_state=ExecutionState.STARTING,
            last_activity=datetime.fromtimestamp(self._clock(), UTC),
            connections=0,
        )
        started = {"lifecycleState": "ACTIVE", "kernel": to_wire(kernel)}
        self._sessions = tuple(
            {**each, **started} if (each.get("id"), each.get("lifecycleState")) == (session_id, "CREATING") else each
            for each in self._sessions
        )


def kernel_id(session: Wire) -> object:
    kernel = session.get("kernel")
    return cast("Wire", kernel).get("id") if isinstance(kernel, Mapping) else None


def _asks_for_another_kernel(session: Wire, changes: Wire) -> bool:
    details = _kernel_details(changes)
    if "id" in details:
        return details["id"] != kernel_id(session)
    moves = "cluster_id" in changes and changes["cluster_id"] != session.get("cluster_id")
    return moves or "name" in details or bool(changes.get("must_refresh_context"))


def _kernel_details(details: Wire) -> Wire:
    return cast("Wire", details.get("kernel", {}))


def _only(names: Iterable[str], details: Wire) -> Wire:
    return {name: details[name] for name in names if name in details}


def _wire(model: SessionSummary | KernelSummary | Wire) -> Wire:
    return model if isinstance(model, Mapping) else to_wire(model)
