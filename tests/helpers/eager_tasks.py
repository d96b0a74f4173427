"""A loop on which a task runs before `create_task` returns, up to its first wait; Python 3.12 and newer."""

from __future__ import annotations

import asyncio
import sys


def new_eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop
