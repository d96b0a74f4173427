"""A progress bar for the listing of many workspaces, driven by the events of the client."""

from __future__ import annotations

import sys
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
    from .options import ProgressOptions


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
            if failed or event.error is None:  # and not cancelled
                self.advance(failed=failed)

    def advance(self, *, failed: bool) -> None:
        if failed:
            self._add("failed")
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
    yield Text(f"{task.completed:.0f}{total} {task.description}")
    if task.speed:
        yield Text(f"{task.speed:.1f}/s" if task.speed < 10 else f"{task.speed:.0f}/s", "dim")
    if task.time_remaining:
        yield Text("{}:{:02} left".format(*divmod(int(task.time_remaining), 60)), "dim")
    if failed := task.fields["failed"]:
        yield Text(f"{failed} failed", "red")
    if retries := task.fields["retries"]:
        yield Text("1 retry" if retries == 1 else f"{retries} retries", "yellow")


@contextmanager
def progress_bar(
    chosen: ProgressOptions, output: str, console: Console, expected: int | None = None, noun: str = "workspaces"
) -> Generator[ProgressListener | None]:
    """Show a progress bar on *console* until the block ends; other output on *console* appears above it.

    Yields ``None`` and shows nothing if standard error is no terminal, or JSON lines are printed to that same terminal.
    """
    mixed = output == "jsonl" and sys.stdout.isatty()
    if not chosen["progress"] or mixed or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield None
        return
    columns = (SpinnerColumn(), BarColumn(bar_width=20), StatusColumn())
    # With redirect_stdout, rich would print the results on standard error.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        yield ProgressListener(progress, progress.add_task(noun, total=expected, failed=0, retries=0))
