"""Faults: what can go wrong with a response, and in which order. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs

from .responses import JSON, StubResponse, error_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .routes import Operation

Cut = Literal["before_headers", "in_headers", "in_body"] | None

MAX_DELAY_S: Final = 86_400.0
_BODILESS: Final = frozenset({204, 304})
_CUTS: Final = ("before_headers", "in_headers", "in_body")
_MIN_STATUS, _MIN_ERROR, _MAX_STATUS = 200, 400, 599


@attrs.frozen(kw_only=True)
class Fault:
    """A deviation from the healthy response. Every field changes one thing; ``Fault()`` lets one request pass.

    Attributes:
        status: from 400 up, the response is an error in the service's shape; below, the healthy body is kept.
        code: of the error, instead of the one that the service documents for *status*.
        message: of the error.
        retry_after: the ``Retry-After`` header: seconds, or text that is sent unchanged (an HTTP date).
        delay: seconds before the response begins; ``math.inf`` never responds.
        cut: close the connection before anything is sent, within the headers, or within the body.
        body: these bytes instead of any other body, with status 200 unless *status* is given.
        headers: added to the response; they replace its own headers of the same names.
        content_type: instead of ``application/json``.
        times: the number of requests that meet this fault; ``None`` is every request from now on.
        takes_effect: the service does what was requested before *delay*, and only then sends the error, or nothing.
            Otherwise it does it after *delay*, and only if it sends its own response or a part of it.
    """

    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float | str | None = None
    delay: float = 0.0
    cut: Cut = None
    body: bytes | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    content_type: str | None = None
    times: int | None = 1
    takes_effect: bool = False

    def __attrs_post_init__(self) -> None:
        if self.status is not None and not _MIN_STATUS <= self.status <= _MAX_STATUS:
            raise ValueError(f"status={self.status!r} must be from {_MIN_STATUS} to {_MAX_STATUS}")
        if not self.delay >= 0:
            raise ValueError(f"delay={self.delay!r} must be zero or more seconds")
        if self.cut is not None and self.cut not in _CUTS:
            raise ValueError(f"cut={self.cut!r} must be one of {', '.join(_CUTS)}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times={self.times!r} must be at least 1, or None for all requests")

    @property
    def replaces(self) -> bool:
        """Whether this fault replaces the healthy response completely."""
        return self.body is not None or (self.status is not None and self.status >= _MIN_ERROR)

    def apply(self, healthy: StubResponse) -> StubResponse:
        """Return what is sent instead of *healthy* (which is ignored if the fault `replaces` it)."""
        headers: dict[str, str] = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.content_type is not None:
            headers["content-type"] = self.content_type
        headers |= {name.lower(): value for name, value in self.headers.items()}
        base = self._base(healthy)
        return attrs.evolve(base, headers={**base.headers, **headers})

    def _base(self, healthy: StubResponse) -> StubResponse:
        if self.body is not None:
            return StubResponse(self.status or 200, self.body, {"content-type": JSON})
        if self.status is None:
            return healthy
        if self.replaces:
            return error_response(self.status, self.code, self.message)
        return StubResponse(self.status, b"" if self.status in _BODILESS else healthy.body, healthy.headers)


NO_FAULT: Final = Fault()


@attrs.define(eq=False)
class _Waiting:
    fault: Fault
    operation: Operation | None
    left: int | None


class FaultQueue:
    """The faults that wait for requests, in the order they were added."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault, operation: Operation | None = None) -> None:
        self._waiting.append(_Waiting(fault, operation, fault.times))

    def pop(self, operation: Operation | None = None) -> Fault:
        """Return the fault of the next request, by default ``Fault()``."""
        waiting = next((each for each in self._waiting if each.operation in (None, operation)), None)
        if waiting is None:
            return NO_FAULT
        if waiting.left is not None:
            waiting.left -= 1
            if waiting.left == 0:
                self._waiting.remove(waiting)
        return waiting.fault
