"""Runs the coroutine of a subcommand until it ends or Ctrl-C is pressed, and returns the exit status."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from ..errors import AidpError
from .logs import log_on
from .report import print_failure
from .statuses import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator

    from rich.console import Console


T = TypeVar("T")


def run(work: Coroutine[object, object, int | None], console: Console) -> int:
    """Run *work*, and return its status, or that of an error (printed on *console*) or of Ctrl-C."""
    try:
        with log_on(console):
            return asyncio.run(_cancel_on_sigint(work)) or 0
    except AidpError as error:
        print_failure(error, console)
        return Status.NOTHING_READ
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Status.INTERRUPTED


async def _cancel_on_sigint(work: Awaitable[int | None]) -> int | None:
    """Cancel *work* on Ctrl-C, unless SIGINT is ignored.

    `asyncio.run` does that too; but if the signal arrives just before the loop starts to wait, it takes effect only
    when the loop wakes up for another reason.
    """
    task = asyncio.current_task()
    if task is not None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with suppress(NotImplementedError, RuntimeError):  # on Windows, and outside the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    return await work


@contextmanager
def event_of_sigterm() -> Generator[asyncio.Event]:
    """Yield an event that SIGTERM sets, instead of ending the process."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()
    with suppress(NotImplementedError, RuntimeError):  # on Windows, and outside the main thread
        loop.add_signal_handler(signal.SIGTERM, event.set)
    try:
        yield event
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


@asynccontextmanager
async def background_task(work: Coroutine[object, object, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """Run *work* as a task, and cancel it when the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieve it, so that asyncio does not log it
