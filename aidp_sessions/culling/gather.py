"""Makes a plan of what the service lists: sessions first, then the clusters of the workspaces with candidates."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import attrs

from .._merge import FromIterable, Merge
from ..errors import AidpError
from .plan import apply_clusters, make_plan, workspace_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .._merge import Slot
    from ..models import AttachedSession, WorkspaceRef
    from ..results import WorkspaceOutcome
    from .access import Access
    from .plan import CullPlan
    from .policy import CullPolicy


async def gather_plan(
    policy: CullPolicy, listing: AsyncGenerator[WorkspaceOutcome], access: Access, platform_id: str
) -> CullPlan:
    """Apply *policy* to the kernels in *listing*, which is unfiltered and not yet started."""
    taken = (await access.api.read_clock())()  # before anything is listed, so that T is not later than it should be
    outcomes: list[WorkspaceOutcome] = []
    failures: list[AidpError] = []
    async with aclosing(listing):
        try:
            async for outcome in listing:
                outcomes.append(outcome)  # noqa: PERF401  # what came before a failure is part of the plan
        except AidpError as error:
            failures.append(error)
    plan = make_plan(outcomes, policy, platform_id=platform_id, taken=taken, failures=failures)
    return plan if policy.clusters == "ignore" else await _apply_clusters(plan, access)


async def _apply_clusters(plan: CullPlan, access: Access) -> CullPlan:
    workspaces = {candidate.workspace_key: workspace_of(candidate) for candidate in plan.candidates}
    failures: dict[str, AidpError] = {}

    async def read(workspace: WorkspaceRef, slot: Slot[tuple[str, Sequence[AttachedSession]]]) -> None:
        try:
            await slot.emit((workspace.key, await access.list_attached(workspace)))
        except AidpError as error:
            failures[workspace.key] = error

    async with aclosing(Merge(FromIterable(workspaces.values()), read, limit=access.max_concurrency)) as listed:
        attached = {key: sessions async for key, sessions in listed}
    in_order = (failures[key] for key in workspaces if key in failures)
    return attrs.evolve(apply_clusters(plan, attached), failures=(*plan.failures, *in_order))
