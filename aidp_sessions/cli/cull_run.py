"""One run of ``cull``: makes a plan, shows it and applies it, once or repeatedly."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import attrs

from .._convert.wire_format import format_timestamp
from .._display.text import pluralize
from ..culling.plan import CullPlan, CullResult, KeptKernel
from ..errors import AidpError
from . import cull_tables, formats, running, tables
from .audit import Audit
from .output import print_text, writing_to
from .progress import progress_bar
from .queries import client_options, open_client
from .report import print_failure, print_message
from .selection import names_of, select_workspaces
from .statuses import Status, failure_status
from .wording import in_options, usage_errors

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from rich.console import Console

    from ..client import SessionsClient
    from ..culling.plan import CullCandidate, CullOutcome
    from ..culling.policy import CullPolicy
    from ..streams.keys import WorkspaceLike
    from .cull_options import CullOptions
    from .progress import ProgressListener

    _Key = tuple[str, str, datetime]

T = TypeVar("T")

_BAD_RESULTS = (CullResult.DENIED, CullResult.FAILED, CullResult.UNKNOWN)
_WAITING = "waiting"


@attrs.frozen
class Run:
    """What the options *chosen* ask for. Prints results in the format *output*, and messages on *console*."""

    chosen: CullOptions
    output: str
    console: Console
    _started: datetime = attrs.field(factory=lambda: datetime.now(UTC), init=False)
    _selected: list[WorkspaceLike] = attrs.field(factory=list["WorkspaceLike"], init=False)

    def make_plan(self, policy: CullPolicy) -> tuple[CullPlan | None, int]:
        """Returns the plan, or ``None`` if it could not be made, and the exit status."""
        plans: list[CullPlan] = []

        async def work(bar: ProgressListener | None) -> None:
            options = client_options(self.chosen, None if bar is None else bar.on_event)
            async with open_client(self.chosen, self._started, **options) as client:
                plans.append(await self._plan(client, policy))

        with progress_bar(self.chosen, self.output, self.console) as bar:
            status = running.run(work(bar), self.console)
        plan = plans[0] if plans else None
        return plan, _status_of_plan(plan) if plan else status

    async def _select(self, client: SessionsClient) -> Sequence[WorkspaceLike] | None:
        """The workspaces that the options name; ``None``: all. Once found they stay, so that rounds do not differ."""
        if self._selected:
            return self._selected
        found = await select_workspaces(client, self.chosen["workspace"])
        if found is not None and len(names_of(found)) == len(found):
            self._selected.extend(found)
        return found

    async def _plan(self, client: SessionsClient, policy: CullPolicy) -> CullPlan:
        workspaces = await self._select(client)
        with usage_errors():
            plan = await client.plan_cull(policy, workspaces)
        for error in plan.failures:
            print_failure(error, self.console)
        return plan

    def show(self, plan: CullPlan) -> None:
        if self.output == "table":
            with writing_to("standard output"):
                cull_tables.print_plan(plan, tables.terminal())
        else:
            print_text(formats.record_lines(formats.decision_records(plan)))

    def refuse(self, refusal: str) -> int:
        print_message(self.console, "refused", "bold red", in_options(refusal))
        return Status.REFUSED

    def apply(self, plan: CullPlan) -> int:
        """Shut the candidates of *plan* down, and show what became of them. Returns the exit status."""
        outcomes: list[CullOutcome] = []

        async def work(bar: ProgressListener | None) -> None:
            async with open_client(self.chosen, self._started, **client_options(self.chosen, None)) as client:
                with running.event_of_sigterm() as terminated:
                    await self._apply(client, plan, outcomes, terminated, bar)

        try:
            with progress_bar(self.chosen, self.output, self.console, len(plan.candidates), "kernels") as bar:
                status = running.run(work(bar), self.console)
        finally:
            left = len(plan.candidates) - len(outcomes)
            if outcomes or not left:
                self._show_outcomes(outcomes, left)
        if status == Status.NOTHING_READ:
            return failure_status(others=bool(outcomes))
        return max(_status_of(outcomes), Status.INTERRUPTED if left else status)

    async def _apply(
        self,
        client: SessionsClient,
        plan: CullPlan,
        outcomes: list[CullOutcome],
        terminated: asyncio.Event,
        bar: ProgressListener | None = None,
    ) -> None:
        """Add what became of the candidates to *outcomes*, until *terminated* is set."""
        audit = Audit.of(client, self.chosen["audit"])
        audit.append(formats.decision_records(plan))
        with usage_errors():
            async with aclosing(client.cull(plan)) as results:
                async for outcome in results:
                    outcomes.append(outcome)
                    audit.append([formats.outcome_record(outcome)])
                    self._tell(outcome, bar)
                    if terminated.is_set():
                        break

    def _tell(self, outcome: CullOutcome, bar: ProgressListener | None) -> None:
        if outcome.error is not None:
            print_failure(outcome.error, self.console)
        if bar is not None:
            bar.advance(failed=outcome.result in _BAD_RESULTS)
        if self.output == "jsonl":
            print_text(formats.record_lines([formats.outcome_record(outcome)]))

    def _show_outcomes(self, outcomes: list[CullOutcome], left: int) -> None:
        if self.output == "table":
            with writing_to("standard output"):
                cull_tables.print_outcomes(outcomes, left, tables.terminal())

    def serve(self, policy: CullPolicy, every: timedelta, grace: timedelta) -> int:
        """Make and apply plans until SIGTERM or Ctrl-C. Returns the exit status of the last round."""
        return running.run(self._serve(policy, every, WaitingList(grace)), self.console)

    async def _serve(self, policy: CullPolicy, every: timedelta, waiting: WaitingList) -> int:
        status = 0
        async with open_client(self.chosen, self._started, **client_options(self.chosen, None)) as client:
            with running.event_of_sigterm() as terminated:
                while not terminated.is_set():
                    status = await self._round(client, policy, waiting, terminated)
                    await _unless(terminated, asyncio.sleep(every.total_seconds()))
        return status

    async def _round(
        self, client: SessionsClient, policy: CullPolicy, waiting: WaitingList, terminated: asyncio.Event
    ) -> int:
        outcomes: list[CullOutcome] = []
        try:
            plan = await _unless(terminated, self._plan(client, policy))
            if plan is None:
                return 0
            due = waiting.hold_back(plan, asyncio.get_running_loop().time())
            if plan.refusal is not None:
                return self.refuse(plan.refusal)
            self._announce(due)
            await self._apply(client, due, outcomes, terminated)
        except AidpError as error:
            print_failure(error, self.console)
            return failure_status(others=bool(outcomes))
        finally:
            if outcomes:
                self._show_outcomes(outcomes, left=0)
        return max(_status_of_plan(plan), _status_of(outcomes))

    def _announce(self, due: CullPlan) -> None:
        waiting = sum(kernel.reason == _WAITING for kernel in due.kept)
        text = f"{pluralize(len(due.candidates), 'kernel')} to shut down, {waiting} waiting"
        print_message(self.console, format_timestamp(due.taken, "seconds"), "bold", text)


@attrs.frozen
class WaitingList:
    """Since when kernels have been candidates in every plan, with the same last activity."""

    _grace: timedelta
    _since: dict[_Key, float] = attrs.field(factory=dict["_Key", float], init=False)

    def hold_back(self, plan: CullPlan, now: float) -> CullPlan:
        """Keep the candidates that the plan before did not have, or that have not been candidates for the grace."""
        known = dict(self._since)
        self._since.clear()
        self._since.update((key, known.get(key, now)) for key in map(_key, plan.candidates))
        latest = now - self._grace.total_seconds()
        due = {key for key, since in self._since.items() if key in known and since <= latest}
        held_back = [
            KeptKernel(**attrs.asdict(candidate, recurse=False), reason=_WAITING)
            for candidate in plan.candidates
            if _key(candidate) not in due
        ]
        return attrs.evolve(
            plan,
            candidates=[candidate for candidate in plan.candidates if _key(candidate) in due],
            kept=(*plan.kept, *held_back),
        )


def _key(candidate: CullCandidate) -> _Key:
    return candidate.workspace_key, candidate.kernel_id, candidate.last_activity


def _status_of_plan(plan: CullPlan) -> int:
    return failure_status(others=bool(plan.candidates or plan.kept)) if plan.failures else Status.DONE


def _status_of(outcomes: list[CullOutcome]) -> int:
    return Status.INCOMPLETE if any(outcome.result in _BAD_RESULTS for outcome in outcomes) else Status.DONE


async def _unless(event: asyncio.Event, work: Coroutine[object, object, T]) -> T | None:
    """Await *work*. Cancel it and return ``None`` when *event* is set."""
    async with running.background_task(work) as task, running.background_task(event.wait()) as waiter:
        await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
