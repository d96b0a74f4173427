"""Threads for the signatures of long keys: slow enough to be worth the way there and back. Knows nothing of signing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """One thread for each core, made on first use, and by whatever process it is used in: a fork inherits no threads.

    For work that lets go of the interpreter, as OpenSSL's does: it then runs beside the event loop, on several cores.
    """

    def __init__(self) -> None:
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._process = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pool is None or self._process != os.getpid():
            self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="aidp-sessions")
            self._process = os.getpid()
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))
