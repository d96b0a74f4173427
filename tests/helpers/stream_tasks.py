"""The tasks that streams run."""

from __future__ import annotations

import asyncio


def stream_tasks() -> set[asyncio.Task[object]]:
    """The driver and the sources of every stream, without the tasks of the service and of the test."""
    return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "").startswith("Merge._")}
