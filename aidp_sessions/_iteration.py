"""What callers iterate: plain asyncio, no HTTP.

An iteration never ends silently, its steps may be cancelled, and a wrong loop over it says what to write.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import AsyncGeneratorType

S = TypeVar("S")
T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Coroutine[Any, Any, object]])


class HasKey(Protocol):
    @property
    def key(self) -> str: ...


Keyed = TypeVar("Keyed", bound=HasKey)


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
    """How far a generator is. It must not know its `Iteration`, for two that know each other are freed late.

    Attributes:
        is_complete: set before the generator returns.
        may_go_on: if the generator ends otherwise, another one may go on. Generators clear it when they start, and set
            it again when a step is cancelled; a step may also be cancelled before the generator runs.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.may_go_on = True


class Iteration(AsyncGenerator[T]):
    """An async generator whose steps may be cancelled, as `asyncio.wait_for` does: the next step goes on.

    A plain async generator has ended then, and its next step would raise `StopAsyncIteration`, as if the data were
    complete. Here *start* is called anew, for a generator that goes on where the last one was. If that one did not say
    that another may go on, each further step raises `RuntimeError`, as after an error.

    *start* makes the generator, which reports to the `Progress` that it is given.
    """

    def __init__(self, start: Callable[[Progress], AsyncGenerator[T]]) -> None:
        self._start = start
        self._progress = Progress()
        self._run()

    def _run(self) -> None:
        self._generator = cast("AsyncGeneratorType[T, None]", self._start(self._progress))
        self._next = self._generator.__anext__

    def __aiter__(self) -> Iteration[T]:
        return self

    if not TYPE_CHECKING:  # a type checker refuses 'for' without this

        def __iter__(self) -> NoReturn:
            refuse_for()

    def __anext__(self) -> Awaitable[T]:  # type: ignore[override]  # without a coroutine of its own for each item
        if self._generator.ag_frame is None:
            self._go_on()
        return self._next()

    async def asend(self, value: None) -> T:
        if self._generator.ag_frame is None:
            self._go_on()
        return await self._generator.asend(value)

    async def athrow(self, *error: Any) -> T:  # noqa: ANN401  # as in the abstract class
        return await self._generator.athrow(*error)

    async def aclose(self) -> None:
        self._progress.is_complete = True
        await self._generator.aclose()

    def _go_on(self) -> None:
        if self._progress.is_complete:
            return
        if not self._progress.may_go_on:
            raise RuntimeError("this iteration ended with an error or was cancelled; start a new one")
        self._run()


def refuse_for() -> NoReturn:
    raise TypeError("use 'async for item in …' or '[item async for item in …]'")


class Listing(AsyncIterator[Keyed]):
    """The items of all pages, each once, page by page as they are consumed.

    *next_page* reads the items of the next page, or returns ``None`` after the last. A step that fails or is cancelled
    loses nothing: the next one reads the same page.
    """

    def __init__(self, next_page: Callable[[], Awaitable[Sequence[Keyed] | None]]) -> None:
        self._next_page = next_page
        self._items: deque[Keyed] = deque()
        self._known: set[str] = set()
        self._is_reading = False
        self._is_closed = False

    if not TYPE_CHECKING:  # a type checker refuses 'for' without this

        def __iter__(self) -> NoReturn:
            refuse_for()

    async def __anext__(self) -> Keyed:
        while not self._is_closed:
            while self._items:
                item = self._items.popleft()
                if item.key not in self._known:  # pages shift while items come and go
                    self._known.add(item.key)
                    return item
            page = await self._read()
            if page is None:
                break
            self._items.extend(page)
        raise StopAsyncIteration

    async def _read(self) -> Sequence[Keyed] | None:
        if self._is_reading:  # or both would count as one page
            raise RuntimeError("another step of this iteration is still under way")
        self._is_reading = True
        try:
            return await self._next_page()
        finally:
            self._is_reading = False

    async def aclose(self) -> None:
        self._is_closed = True


class Converted(AsyncIterator[T]):
    """What *convert* makes of each of *items*, without ``None``."""

    def __init__(self, items: AsyncIterator[S], convert: Callable[[S], T | None]) -> None:
        self._items = items
        self._convert = convert

    async def __anext__(self) -> T:
        async for item in self._items:
            converted = self._convert(item)
            if converted is not None:
                return converted
        raise StopAsyncIteration


def iterated_after_await(function: Function) -> Function:
    """Make the coroutines of *function* raise a `TypeError` that names it when they are iterated."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, object]:  # noqa: ANN401  # those of *function*
        return _Coroutine(function(*args, **kwargs))

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(call)
    else:
        call._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001
    return cast("Function", call)


class _Coroutine(Coroutine[Any, Any, T]):
    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, None, T]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:  # noqa: ANN401  # as in the abstract class
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401  # as in the abstract class
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # of the coroutine
        """What asyncio and debuggers ask of a coroutine: its name, its frame, and what it waits for."""
        return getattr(object.__getattribute__(self, "_coroutine"), name)

    def __repr__(self) -> str:
        return repr(self._coroutine)

    def __iter__(self) -> NoReturn:
        self.close()
        raise TypeError(f"{self.__name__}() returns a coroutine; write 'for … in await ….{self.__name__}(…)'")
