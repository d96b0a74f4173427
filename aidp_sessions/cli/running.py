"""How the command runs: until it is done or Ctrl-C comes, and with the client that its options describe."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from ..errors import AidpError
from .report import print_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Coroutine

    from rich.console import Console


T = TypeVar("T")
INTERRUPTED = 130


def run(work: Coroutine[object, object, int | None], console: Console) -> int:
    """Run *work* and return the exit status: its own, 1 after an error that *console* was told, 130 after Ctrl-C."""
    try:
        return asyncio.run(_until_ctrl_c(work)) or 0
    except AidpError as error:
        print_failure(error, console)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


async def _until_ctrl_c(work: Awaitable[int | None]) -> int | None:
    """Cancel *work* on Ctrl-C, unless that is ignored.

    `asyncio.run` would too, but only once the loop wakes up by itself if the signal comes just as it falls asleep.
    """
    task = asyncio.current_task()
    if task is not None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with suppress(NotImplementedError, RuntimeError):  # on Windows, and in a thread other than the main one
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    return await work


@asynccontextmanager
async def beside(work: Coroutine[object, object, T]) -> AsyncGenerator[asyncio.Task[T]]:
    """Run *work* in a task of its own, until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not report it when the block left before the end
