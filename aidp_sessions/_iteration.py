"""Async iteration that never ends silently: plain asyncio, no sessions, no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import AsyncGeneratorType

T = TypeVar("T")


def is_foreign(error: BaseException) -> bool:
    """Whether *error* came out of other code, and would pass for a cancellation of this task or an end of iteration."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, StopAsyncIteration)


def raise_if_foreign(error: BaseException) -> None:
    """Raise a `RuntimeError` in place of a foreign *error*."""
    if is_foreign(error):
        raise RuntimeError(f"{type(error).__name__} came out of code that the iteration ran") from error


class Progress:
    """How far a generator is. It must not know its `Iteration`, for two that know each other are freed late."""

    def __init__(self) -> None:
        self.is_complete = False


class Iteration(AsyncGenerator[T]):
    """An async generator that raises `RuntimeError` when it is continued after an error or a cancellation.

    `asyncio.wait_for` cancels what it waits for. A plain async generator has ended then, and its next step would raise
    `StopAsyncIteration`, as if the data were complete.

    *start* makes the generator, which sets ``is_complete`` on the `Progress` that it is given before it returns.
    """

    def __init__(self, start: Callable[[Progress], AsyncGenerator[T]]) -> None:
        self._progress = Progress()
        self._generator = cast("AsyncGeneratorType[T, None]", start(self._progress))

    def __aiter__(self) -> Iteration[T]:
        return self

    if not TYPE_CHECKING:  # a type checker refuses 'for' without this

        def __iter__(self) -> NoReturn:
            raise TypeError("use 'async for item in …' or '[item async for item in …]'")

    def __anext__(self) -> Awaitable[T]:  # type: ignore[override]  # without a coroutine of its own for each item
        if self._generator.ag_frame is None:
            self._check_complete()
        return self._generator.__anext__()

    async def asend(self, value: None) -> T:
        if self._generator.ag_frame is None:
            self._check_complete()
        return await self._generator.asend(value)

    async def athrow(self, *error: Any) -> T:  # noqa: ANN401  # as in the abstract class
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        self._progress.is_complete = True
        await self._generator.aclose()

    def _check_complete(self) -> None:
        if not self._progress.is_complete:
            raise RuntimeError("this iteration ended with an error or was cancelled; start a new one")
