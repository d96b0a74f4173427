"""The rounds of a watch: when they start, what they ask, and what is yielded."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import attrs

from .._iteration import raise_if_foreign
from ..errors import AidpError
from .changes import Watch
from .predicates import PredicateFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from .._iteration import Progress
    from .._merge import Merge
    from ..models import WorkspaceRef
    from ..results import SessionChange, SessionCollection
    from .fan_out import FanOut

_MAX_HEAD_START: Final = 1.0


@attrs.define(eq=False, repr=False)
class WatchRun:
    """Yields what changed from round to round, and never ends."""

    _fan_out: FanOut
    _period: float
    _pending: Iterable[SessionChange] = attrs.field(default=(), init=False)
    _watch: Watch = attrs.field(factory=Watch, init=False)
    _is_first: bool = attrs.field(default=True, init=False)
    _started: float | None = attrs.field(default=None, init=False)
    _pause: float = attrs.field(default=0.0, init=False)
    _round: Merge[WorkspaceRef, tuple[WorkspaceRef, SessionCollection | AidpError]] | None = attrs.field(
        default=None, init=False
    )

    async def changes(self, progress: Progress) -> AsyncGenerator[SessionChange]:
        progress.may_go_on = False
        try:
            while True:
                for change in self._pending:
                    yield change
                if self._round is None:
                    await self._wait()
                    self._round = self._start_round()
                failure: AidpError | None = None
                async with aclosing(self._round):
                    try:
                        async for ref, result in self._round:
                            self._pending = self._watch.update(ref.key, result)
                            for change in self._pending:
                                yield change
                    except PredicateFailedError as failed:
                        failed.reraise()
                    except AidpError as error:
                        if self._is_first or self._fan_out.ends_iteration(error):
                            raise
                        failure = error
                self._pause = self._period * (self._fan_out.clock.random() if self._is_first else 1)
                self._round, self._is_first = None, False
                self._pending = self._watch.end_round(failure)
        except asyncio.CancelledError as error:
            raise_if_foreign(error)
            progress.may_go_on = True
            raise

    async def _wait(self) -> None:
        """Sleep until the next round is due."""
        clock, now = self._fan_out.clock, asyncio.get_running_loop().time()
        if self._started is None:
            self._started, self._pause = now, clock.random() * min(self._period, _MAX_HEAD_START)
        await clock.sleep(max(0.0, self._pause - (now - self._started)))

    def _start_round(self) -> Merge[WorkspaceRef, tuple[WorkspaceRef, SessionCollection | AidpError]]:
        reader, known = self._fan_out.reader, self._watch.collections
        self._started = asyncio.get_running_loop().time()
        self._watch.start_round(self._fan_out.predicate())
        return self._fan_out.results(lambda ref, sleep: reader.list_sessions(ref, sleep, known.get(ref.key)))
