"""The workspaces that a stream asks: whatever the caller named, as something to enumerate again and again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.frozen(eq=False, repr=False)
class Keys:
    """Where a stream finds its workspaces.

    Attributes:
        begin: starts to enumerate their keys.
        once: they come from an iterator, which only the first iteration finds full.
    """

    begin: Callable[[], AsyncGenerator[str]]
    once: bool = False


def keys_of(workspaces: str | Iterable[str] | AsyncIterable[str], check: Callable[[str], object]) -> Keys:
    """The keys of *workspaces*; *check* raises for a bad one.

    A collection is checked at once, and a key that it holds twice is asked once. An iterator can be enumerated once;
    the second time raises `RuntimeError`, for an empty stream would be a lie.
    """
    if isinstance(workspaces, str):
        workspaces = (workspaces,)
    if isinstance(workspaces, Collection):
        keys = tuple(dict.fromkeys(workspaces))
        for key in keys:
            check(key)
        return Keys(lambda: _checked(keys))
    if isinstance(workspaces, Iterator | AsyncIterator):
        rest = [workspaces]

        def begin() -> AsyncGenerator[str]:
            if not rest:
                raise RuntimeError("these workspaces came from an iterator, which is used up; pass a list instead")
            return _enumerate(rest.pop(), check)

        return Keys(begin, once=True)
    if not isinstance(workspaces, Iterable | AsyncIterable):
        raise TypeError(f"workspaces must be a key or an iterable of keys, not {type(workspaces).__name__}")
    return Keys(lambda: _enumerate(workspaces, check))


async def _checked(keys: tuple[str, ...]) -> AsyncGenerator[str]:
    for key in keys:
        yield key


async def _enumerate(
    workspaces: Iterable[str] | AsyncIterable[str], check: Callable[[str], object]
) -> AsyncGenerator[str]:
    if isinstance(workspaces, AsyncIterable):
        iterator = aiter(workspaces)
        try:
            async for key in iterator:
                check(key)
                yield key
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
    else:
        for key in workspaces:
            check(key)
            yield key
