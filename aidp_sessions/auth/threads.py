"""Blocking work in threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ..errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

T = TypeVar("T")


async def run_in_thread(function: Callable[..., T], *args: object, executor: Executor | None = None) -> T:
    """Return what *function* returns; without *executor*, it runs in the event loop's own threads.

    Raises `CredentialsError` if no thread can be started.
    """
    try:
        future = asyncio.get_running_loop().run_in_executor(executor, function, *args)
    except RuntimeError as error:
        raise CredentialsError(f"no thread can be started: {error}") from error
    return await future


class ThreadPool:
    """Threads for blocking work, usable on any event loop.

    Each process starts its own, because a fork does not copy them.
    """

    def __init__(self, max_threads: int | None, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, function: Callable[..., T], *args: object) -> T:
        if self._executor is None or self._process != os.getpid():
            self._executor = ThreadPoolExecutor(self._max_threads, thread_name_prefix=self._name)
            self._process = os.getpid()
        return await run_in_thread(function, *args, executor=self._executor)
