"""The workspaces that a stream asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import attrs

from .._iteration import Converted, Listing
from .._merge import FromIterable
from ..models import WorkspaceRef, WorkspaceSummary

if TYPE_CHECKING:
    from collections.abc import Callable

WorkspaceLike = str | WorkspaceSummary


@attrs.frozen(eq=False, repr=False)
class WorkspaceRefs:
    """Where a stream finds its workspaces.

    Attributes:
        iterate: starts a new iteration over the workspaces.
        single_use: they come from an iterator, so that only one iteration is possible.
    """

    iterate: Callable[[], AsyncIterator[WorkspaceRef]]
    single_use: bool = False


def ref_of(workspace: WorkspaceLike) -> WorkspaceRef:
    if isinstance(workspace, WorkspaceSummary):
        return WorkspaceRef(workspace.key, workspace.display_name)
    return WorkspaceRef(workspace)


def workspace_refs(
    workspaces: WorkspaceLike | Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike] | None,
    check: Callable[[str], object],
    discover: Callable[[], AsyncIterator[WorkspaceRef]],
) -> WorkspaceRefs:
    """References to *workspaces*; *check* raises for a bad key. For ``None``, *discover* iterates over all workspaces.

    A collection is checked at once, and repeated keys are asked once. The second iteration over an iterator raises
    `RuntimeError`, so that a used-up iterator is an error instead of an empty result.
    """
    if workspaces is None:
        return WorkspaceRefs(discover)
    if isinstance(workspaces, WorkspaceLike):
        workspaces = (workspaces,)
    if isinstance(workspaces, Collection):
        refs: dict[str, WorkspaceRef] = {}
        for workspace in workspaces:
            ref = _checked(workspace, check)
            if ref.name or ref.key not in refs:
                refs[ref.key] = ref
        return WorkspaceRefs(partial(FromIterable, refs.values()))
    if isinstance(workspaces, Iterator | AsyncIterator):
        rest = [workspaces]

        def iterate_once() -> AsyncIterator[WorkspaceRef]:
            if not rest:
                raise RuntimeError("these workspaces came from an iterator, which is used up; pass a list instead")
            return _iterate(rest.pop(), check)

        return WorkspaceRefs(iterate_once, single_use=True)
    if not isinstance(workspaces, Iterable | AsyncIterable):
        name = type(workspaces).__name__
        raise TypeError(f"workspaces must be a key, a WorkspaceSummary or an iterable of these, not {name}")
    return WorkspaceRefs(lambda: _iterate(workspaces, check))


def _iterate(
    workspaces: Iterable[WorkspaceLike] | AsyncIterable[WorkspaceLike], check: Callable[[str], object]
) -> AsyncIterator[WorkspaceRef]:
    """Asynchronous iterables of others are read by a generator, which a cancellation closes for good.

    If a step of theirs was cancelled, the next one might pass for the end.
    """
    checked = partial(_checked, check=check)
    if isinstance(workspaces, Listing):
        return Converted(cast("Listing[WorkspaceSummary]", workspaces), checked)
    if isinstance(workspaces, AsyncIterable):
        return _iterate_async(workspaces, checked)
    return Converted(FromIterable(workspaces), checked)


async def _iterate_async(
    workspaces: AsyncIterable[WorkspaceLike], checked: Callable[[WorkspaceLike], WorkspaceRef]
) -> AsyncGenerator[WorkspaceRef]:
    iterator = aiter(workspaces)
    try:
        async for workspace in iterator:
            yield checked(workspace)
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


def _checked(workspace: WorkspaceLike, check: Callable[[str], object]) -> WorkspaceRef:
    ref = ref_of(workspace)
    check(ref.key)
    return ref
