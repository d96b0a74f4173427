"""The workspaces that a stream asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.frozen(eq=False, repr=False)
class WorkspaceKeys:
    """Where a stream finds the keys of its workspaces.

    Attributes:
        iterate: starts a new iteration over the keys.
        single_use: the keys come from an iterator, so that only one iteration is possible.
    """

    iterate: Callable[[], AsyncGenerator[str]]
    single_use: bool = False


def workspace_keys(
    workspaces: str | Iterable[str] | AsyncIterable[str], check: Callable[[str], object]
) -> WorkspaceKeys:
    """The keys of *workspaces*; *check* raises for a bad one.

    A collection is checked at once, and repeated keys are asked once. The second iteration over an iterator raises
    `RuntimeError`, so that a used-up iterator is an error instead of an empty result.
    """
    if isinstance(workspaces, str):
        workspaces = (workspaces,)
    if isinstance(workspaces, Collection):
        keys = tuple(dict.fromkeys(workspaces))
        for key in keys:
            check(key)
        return WorkspaceKeys(lambda: _iterate_checked(keys))
    if isinstance(workspaces, Iterator | AsyncIterator):
        rest = [workspaces]

        def iterate_once() -> AsyncGenerator[str]:
            if not rest:
                raise RuntimeError("these workspaces came from an iterator, which is used up; pass a list instead")
            return _iterate(rest.pop(), check)

        return WorkspaceKeys(iterate_once, single_use=True)
    if not isinstance(workspaces, Iterable | AsyncIterable):
        raise TypeError(f"workspaces must be a key or an iterable of keys, not {type(workspaces).__name__}")
    return WorkspaceKeys(lambda: _iterate(workspaces, check))


async def _iterate_checked(keys: tuple[str, ...]) -> AsyncGenerator[str]:
    for key in keys:
        yield key


async def _iterate(
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
