"""How the command runs: until it is done or Ctrl-C comes, and with the client that its options describe."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar, Unpack

import click

from ._report import print_failure
from ._words import printable
from .client import SessionsClient
from .errors import AidpError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Coroutine, Generator
    from datetime import datetime

    from rich.console import Console

    from ._arguments import Identity, Selection
    from ._options import Options
    from .streams import SessionStream
    from .testing import LocalService

T = TypeVar("T")
INTERRUPTED = 130
_NOT_WITH_DEMO = ("instance_id", "profile", "config_file", "auth", "region", "endpoint")


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


@contextmanager
def misuse() -> Generator[None]:
    """Turn what the client calls a wrong argument into wrong usage of the command."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None


@asynccontextmanager
async def client_of(options: Identity, now: datetime, **more: Unpack[Options]) -> AsyncGenerator[SessionsClient]:
    """The client that *options* describe, closed in the end; *more* are further options of its constructor."""
    if options["demo"]:
        async with _demo(options, now) as service, service.client(**more) as client:
            yield client
        return
    with misuse():
        client = SessionsClient.from_config(
            options["instance_id"],
            profile=options["profile"],
            config_file=options["config_file"],
            auth=options["auth"],
            region=options["region"],
            endpoint=options["endpoint"],
            **more,
        )
    async with client:
        yield client


@asynccontextmanager
async def _demo(options: Identity, now: datetime) -> AsyncGenerator[LocalService]:
    from .testing import LocalService  # noqa: PLC0415  # no other option needs a server
    from .testing.demo import populate_demo, stir_demo  # noqa: PLC0415

    for name in _NOT_WITH_DEMO:
        if options.get(name) is not None:
            raise click.UsageError(f"--demo has a platform of its own; leave out --{name.replace('_', '-')}")
    async with LocalService() as service, beside(stir_demo(service, populate_demo(service, now=now))):
        yield service


def stream_of(client: SessionsClient, options: Selection, keys: AsyncIterable[str] | None = None) -> SessionStream:
    """The sessions that *options* ask for, of the workspaces *keys* if they are given."""
    with misuse():
        return client.sessions(
            keys or options["workspace"] or None,
            path=options["path"],
            cluster_id=options["cluster_id"],
            agent_flow_key=options["agent_flow_key"],
        )
