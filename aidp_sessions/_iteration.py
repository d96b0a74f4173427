"""Async iteration that never ends silently: plain asyncio, no sessions, no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

T = TypeVar("T")


def is_foreign(error: BaseException) -> bool:
    """Whether *error* is a cancellation that came out of other code, and not of a cancellation of this task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()


class Progress:
    """What an iteration knows of its generator; the generator must not know the iteration, which would be a cycle."""

    def __init__(self) -> None:
        self.cancelled = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancelled = isinstance(exc, asyncio.CancelledError)


class Iteration(AsyncGenerator[T]):
    """An async generator whose next step raises `RuntimeError` after one that was cancelled.

    `asyncio.wait_for` cancels what it waits for. A plain async generator has ended then, and its next step would raise
    `StopAsyncIteration`, as if the data were complete.

    *start* makes the generator, which does its work in ``with`` the `Progress` that it is given.
    """

    def __init__(self, start: Callable[[Progress], AsyncGenerator[T]]) -> None:
        self._progress = Progress()
        self._generator = start(self._progress)

    def __aiter__(self) -> Iteration[T]:
        return self

    def __anext__(self) -> Awaitable[T]:  # type: ignore[override]  # without a coroutine of its own for each item
        if self._progress.cancelled:
            raise RuntimeError("this iteration was cancelled while it waited for its next item; start a new one")
        return self._generator.__anext__()

    async def asend(self, value: None) -> T:
        return await self._generator.asend(value)

    async def athrow(self, *error: Any) -> T:  # noqa: ANN401  # as in the abstract class
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        await self._generator.aclose()
