"""What can be made to go wrong with an answer, and in which order; never touches a socket itself."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal

import attrs

from .responses import JSON, Answer, error_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

Cut = Literal["before_headers", "in_headers", "in_body"] | None

_BODILESS: Final = frozenset({204, 304})
_CUTS: Final = ("before_headers", "in_headers", "in_body")
_FIRST_STATUS, _FIRST_ERROR, _LAST_STATUS = 200, 400, 599


@attrs.frozen(kw_only=True)
class Fault:
    """A deviation from the healthy answer. Every field changes one thing; ``Fault()`` lets one request pass.

    Attributes:
        status: from 400 up, the answer is an error in the service's shape; below, the healthy body keeps its place.
        code: of the error, instead of the one that the service documents for *status*.
        message: of the error.
        retry_after: the ``Retry-After`` header: seconds, or text that is sent as it is (an HTTP date).
        delay: seconds before the answer begins; ``math.inf`` never answers.
        cut: close the connection before anything is sent, amid the headers, or amid the body.
        body: these bytes instead of any other body, with status 200 unless *status* is given.
        headers: added to the answer, or in place of its own.
        content_type: instead of ``application/json``.
        times: how many requests meet this fault; ``None`` is all that come.
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

    def __attrs_post_init__(self) -> None:
        if self.status is not None and not _FIRST_STATUS <= self.status <= _LAST_STATUS:
            raise ValueError(f"status={self.status!r} must be from {_FIRST_STATUS} to {_LAST_STATUS}")
        if not self.delay >= 0:
            raise ValueError(f"delay={self.delay!r} must be zero or more seconds")
        if self.cut is not None and self.cut not in _CUTS:
            raise ValueError(f"cut={self.cut!r} must be one of {', '.join(_CUTS)}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times={self.times!r} must be at least 1, or None for all requests")

    @property
    def replaces(self) -> bool:
        """Does this fault make the healthy answer unnecessary?"""
        return self.body is not None or (self.status is not None and self.status >= _FIRST_ERROR)

    def spoil(self, healthy: Answer) -> Answer:
        """Return what is to be sent in place of *healthy* (which is ignored if the fault `replaces` it)."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.content_type is not None:
            headers["content-type"] = self.content_type
        base = self._base(healthy)
        return attrs.evolve(base, headers={**base.headers, **headers, **self._lower_headers()})

    def _base(self, healthy: Answer) -> Answer:
        if self.body is not None:
            return Answer(self.status or 200, self.body, {"content-type": JSON})
        if self.status is None:
            return healthy
        if self.replaces:
            return error_answer(self.status, self.code, self.message)
        return Answer(self.status, b"" if self.status in _BODILESS else healthy.body, healthy.headers)

    def _lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}


class FaultQueue:
    """The faults of one workspace, met in the order they were added."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Fault, int | None]] = deque()

    def add(self, fault: Fault) -> None:
        self._waiting.append((fault, fault.times))

    def take(self) -> Fault | None:
        """Return what the next request meets, if anything."""
        if not self._waiting:
            return None
        fault, left = self._waiting[0]
        if left is not None:
            self._waiting.popleft()
            if left > 1:
                self._waiting.appendleft((fault, left - 1))
        return fault
