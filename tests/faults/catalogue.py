"""The faults by name, and plans that choose the next one."""

from __future__ import annotations

import json
from http.client import responses
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from .proxy import Fault, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .proxy import Play

_POSITIONS: Final[Mapping[str, Callable[[Wire], bytes]]] = {
    "before the answer": lambda wire: b"",
    "in the status line": lambda wire: wire.head[:11],
    "in the headers": lambda wire: wire.head[: len(wire.head) // 2],
    "before the body": lambda wire: wire.head,
    "in the body": lambda wire: wire.head + wire.body[: len(wire.body) // 2],
    "after the answer": lambda wire: wire.answer,
}
_MANNERS: Final[Mapping[str, Play]] = {
    "reset": Wire.reset,
    "close": Wire.close,
    "half-close": Wire.half_close,
    "silence": Wire.stall,
}
_NOISE: Final = bytes(Random(7).choices(range(256), k=64))  # noqa: S311  # the same noise every time


def _broken(manner: str, position: str) -> Fault:
    async def play(wire: Wire) -> None:
        await wire.send(_POSITIONS[position](wire))
        await _MANNERS[manner](wire)

    return Fault(f"{manner} {position}", play)


def _instead(name: str, change: Callable[[Wire], bytes], *, keeps: bool = False) -> Fault:
    async def play(wire: Wire) -> None:
        await wire.send(change(wire))

    return Fault(name, play, keeps=keeps)


def _with_body(wire: Wire, body: bytes, length: int | None = None) -> bytes:
    lines = [line for line in wire.head.split(b"\r\n")[:-2] if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"content-length: %d" % (len(body) if length is None else length), b"", body])


async def _dripping(wire: Wire) -> None:
    await wire.drip(wire.answer, 1)


async def _in_pieces(wire: Wire) -> None:
    await wire.drip(wire.answer, 50)


def refusal(status: int, code: str = "Code", **headers: str) -> Fault:
    """An error as the service sends it, with the date and request id of the original answer."""

    def change(wire: Wire) -> bytes:
        kept = [line for line in wire.head.split(b"\r\n") if line.lower().startswith((b"date:", b"opc-request-id:"))]
        given = [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
        body = b"" if status in (204, 304) else json.dumps({"code": code, "message": "Words."}).encode()
        first = f"HTTP/1.1 {status} {responses.get(status, 'Whatever')}".encode()
        return b"\r\n".join([first, *kept, *given, b"content-length: %d" % len(body), b"", body])

    asked = "".join(f", {name.replace('_', '-').title()}: {value}" for name, value in headers.items())
    named = f" {code}" if code != "Code" else ""
    return _instead(f"{status}{named}{asked}", change, keeps=True)


BROKEN: Final = [_broken(manner, position) for manner in _MANNERS for position in _POSITIONS]
CHANGED: Final = [
    Fault("reset of a new connection", Wire.reset, greets=True),
    Fault("close of a new connection", Wire.close, greets=True),
    Fault("one byte at a time", _dripping, keeps=True),
    Fault("fifty bytes at a time", _in_pieces, keeps=True),
    _instead("noise instead of the answer", lambda wire: _NOISE),
    _instead("noise before the answer", lambda wire: _NOISE + wire.answer),
    _instead("noise in the headers", lambda wire: wire.head[:60] + _NOISE + wire.head[60:] + wire.body),
    _instead("noise in the body", lambda wire: _with_body(wire, wire.body[:20] + _NOISE + wire.body[20:])),
    _instead("noise after the answer", lambda wire: wire.answer + _NOISE),
    _instead("half the body as if it were all", lambda wire: _with_body(wire, wire.body[: len(wire.body) // 2])),
    _instead("an empty body", lambda wire: _with_body(wire, b"")),
    _instead("a page of HTML", lambda wire: _with_body(wire, b"<html>Sign in</html>")),
    _instead("a length that is too long", lambda wire: _with_body(wire, wire.body, len(wire.body) + 5)),
    _instead("a length that is too short", lambda wire: _with_body(wire, wire.body, len(wire.body) - 5)),
    _instead("no length", lambda wire: _with_body(wire, wire.body).replace(b"content-length", b"x-length")),
    _instead("the answer twice", lambda wire: wire.answer + wire.answer, keeps=True),
]
STATUSES: Final = [
    *(refusal(status) for status in (204, 206, 302, 304, 400, 401, 403, 404)),
    *(refusal(409, code) for code in ("IncorrectState", "LockConflict", "InvalidatedRetryToken")),
    *(refusal(status) for status in (412, 413, 429)),
    *(refusal(429, retry_after=seconds) for seconds in ("2", "Mon, 21 Sep 2026 14:13:25 GMT", "3600")),
    *(refusal(status) for status in (500, 501, 502, 503, 504, 505)),
    refusal(503, retry_after="4"),
]
ALL: Final = [*BROKEN, *CHANGED, *STATUSES]

_NAMES_THAT_PASS: Final = frozenset(
    {"noise in the headers", "noise instead of the answer", "a length that is too long"}
)
PASSING: Final = [
    *(fault for fault in BROKEN if not fault.name.startswith("silence")),
    *(fault for fault in CHANGED if fault.greets or fault.keeps or fault.name in _NAMES_THAT_PASS),
    *(refusal(409, code) for code in ("IncorrectState", "LockConflict")),
    *(refusal(status) for status in (429, 500, 502, 503, 504)),
]
"""The faults that a retry can repair and that cost no time; long runs use a mixture of them."""


def first(fault: Fault, times: float) -> Callable[[bytes], Fault | None]:
    """A plan: *fault* for the first *times* requests (connections, if it greets), then none."""
    met = 0

    def plan(request: bytes) -> Fault | None:
        nonlocal met
        if fault.greets is bool(request) or met >= times:
            return None
        met += 1
        return fault

    return plan


@attrs.define
class Seeded:
    """A plan: the share *rate* of all requests meets one of *faults*; equal seeds give equal plans."""

    seed: int
    rate: float
    faults: Sequence[Fault] = attrs.field(factory=lambda: PASSING)
    _random: Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311  # chance, not secrecy

    def __call__(self, request: bytes) -> Fault | None:
        """Without *request*, for a new connection, there is none; faults that greet are played at a request."""
        if not request or self._random.random() >= self.rate:
            return None
        return self._random.choice(self.faults)
