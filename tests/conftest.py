"""Fixtures that several files share: real servers, started for each test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import settings

from aidp_sessions.testing import LocalService

from .helpers.eager_tasks import new_eager_loop
from .helpers.jupyter import JupyterProcess, start_jupyter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of some 500 processes would compile all that it imports
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # jsonschema would compile its grammars for a second

settings.register_profile("tests", deadline=None)  # a busy machine is not a defect
settings.load_profile("tests")

ON_UVLOOP = {"test_streams.py"}
WITH_EAGER_TASKS = {"test_streams.py", "test_cancelled_steps.py"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run some tests on `uvloop` or with eager tasks too; all others only on the loop of asyncio."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in ON_UVLOOP:
        factories["uvloop"] = uvloop.new_event_loop
    if item.path.name in WITH_EAGER_TASKS and sys.version_info >= (3, 12):
        factories["eager"] = new_eager_loop
    return factories


@pytest.fixture(scope="session", autouse=True)
def _sigint_ends_children() -> Iterator[None]:
    """A shell script starts `pytest … &` with SIGINT ignored, and child processes would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def service() -> AsyncIterator[LocalService]:
    async with LocalService() as service:
        yield service


@pytest.fixture
async def jupyter(tmp_path: Path) -> AsyncIterator[JupyterProcess]:
    async with start_jupyter(tmp_path) as jupyter:
        yield jupyter
