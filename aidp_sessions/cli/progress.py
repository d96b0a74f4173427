"""A progress bar for the listing of many workspaces, driven by the events of the client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from ..errors import AidpError
from ..events import CallEnded, RetryScheduled

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rich.console import Console

    from ..events import Event


@attrs.frozen
class ProgressListener:
    """Updates a progress bar from the events of a client."""

    _progress: Progress
    _task: TaskID

    def set_total(self, workspaces: int) -> None:
        """Set the number of workspaces; with it, the remaining time can be estimated."""
        self._progress.update(self._task, total=workspaces)

    def on_event(self, event: Event) -> None:
        if isinstance(event, RetryScheduled):
            self._add("retries")
        elif isinstance(event, CallEnded) and event.call.operation == "list_sessions":
            failed = isinstance(event.error, AidpError)
            if failed:
                self._add("failed")
            if failed or event.error is None:  # and not cancelled
                self._progress.advance(self._task)

    def _add(self, field: str) -> None:
        (task,) = self._progress.tasks
        self._progress.update(self._task, **{field: task.fields[field] + 1})


class StatusColumn(ProgressColumn):
    """``87/1000 workspaces · 45/s · 0:20 left · 2 failed · 5 retries``; zero and unknown values are left out."""

    def render(self, task: Task) -> Text:
        return Text(" · ").join(_status_parts(task))


def _status_parts(task: Task) -> Iterator[Text]:
    total = "" if task.total is None else f"/{task.total:.0f}"
    yield Text(f"{task.completed:.0f}{total} workspaces")
    if task.speed:
        yield Text(f"{task.speed:.1f}/s" if task.speed < 10 else f"{task.speed:.0f}/s", "dim")
    if task.time_remaining:
        yield Text("{}:{:02} left".format(*divmod(int(task.time_remaining), 60)), "dim")
    if failed := task.fields["failed"]:
        yield Text(f"{failed} failed", "red")
    if retries := task.fields["retries"]:
        yield Text("1 retry" if retries == 1 else f"{retries} retries", "yellow")


@contextmanager
def progress_bar(console: Console, expected: int | None) -> Generator[ProgressListener]:
    """Show a progress bar on *console* until the block ends; other output on *console* appears above it."""
    columns = (SpinnerColumn(), BarColumn(bar_width=20), StatusColumn())
    # With redirect_stdout, rich would print the results on standard error.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        yield ProgressListener(progress, progress.add_task("", total=expected, failed=0, retries=0))
