"""Coroutine functions whose result is iterated: a loop over one that was not awaited says what is missing."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator

Function = TypeVar("Function", bound=Callable[..., Coroutine[Any, Any, object]])
T = TypeVar("T")


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
