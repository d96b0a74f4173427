"""The workspaces that a stream asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from ..models import WorkspaceSummary

if TYPE_CHECKING:
    from collections.abc import Callable

WorkspaceLike = str | WorkspaceSummary


@attrs.frozen(eq=False, repr=False)
class WorkspaceKeys:
    """Where a stream finds the keys of its workspaces.

    Attributes:
        iterate: starts a new iteration over the keys.
        single_use: the keys come from an iterator, so that only one iteration is possible.
    """

    iterate: Callable[[], AsyncGenerator[str]]
    single_use: bool = False


def key_of(workspace: WorkspaceLike) -> str:
    return workspace.key if isinstance(workspace, WorkspaceSummary) else workspace


def workspace_keys(
    workspaces: WorkspaceLike | Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike], check: Callable[[str], object]
) -> WorkspaceKeys:
    """The keys of *workspaces*; *check* raises for a bad one.

    A collection is checked at once, and repeated keys are asked once. The second iteration over an iterator raises
    `RuntimeError`, so that a used-up iterator is an error instead of an empty result.
    """
    if isinstance(workspaces, WorkspaceLike):
        workspaces = (workspaces,)
    if isinstance(workspaces, Collection):
        keys = tuple(dict.fromkeys(map(key_of, workspaces)))
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
        name = type(workspaces).__name__
        raise TypeError(f"workspaces must be a key, a WorkspaceSummary or an iterable of these, not {name}")
    return WorkspaceKeys(lambda: _iterate(workspaces, check))


async def _iterate_checked(keys: tuple[str, ...]) -> AsyncGenerator[str]:
    for key in keys:
        yield key


async def _iterate(
    workspaces: Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike], check: Callable[[str], object]
) -> AsyncGenerator[str]:
    if isinstance(workspaces, AsyncIterable):
        iterator = aiter(workspaces)
        try:
            async for workspace in iterator:
                check(key := key_of(workspace))
                yield key
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
    else:
        for workspace in workspaces:
            check(key := key_of(workspace))
            yield key
