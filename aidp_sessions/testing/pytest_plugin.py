"""Fixtures for the tests of other projects. Installed as a separate module, outside the package.

pytest loads this module at the start of every run in an environment that has aidp-sessions: before coverage is
measured, and also for projects that use no fixture of it. So the package is imported by the fixtures only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aidp_sessions import SessionsClient
    from aidp_sessions.testing import LocalService, ManualClock


def _async_fixture(function: Callable[..., AsyncIterator[object]]) -> object:
    """Let pytest-asyncio run *function*, in its strict mode too; without it, the fixture fails with a hint."""
    try:
        import pytest_asyncio  # noqa: PLC0415
    except ImportError:

        @pytest.fixture(name=function.__name__)
        def missing() -> NoReturn:
            pytest.fail(f"{function.__name__} needs pytest-asyncio: pip install pytest-asyncio", pytrace=False)

        return missing
    return pytest_asyncio.fixture(function)


def _refuse_another_loop(request: pytest.FixtureRequest) -> None:
    """Fail at once in a test that runs in another event loop: its requests would end in timeouts."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        return
    tests = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    ours = request.config.getini("asyncio_default_fixture_loop_scope")
    if tests != (ours if ours in ("class", "module", "package", "session") else "function"):
        pytest.fail(f"the test runs in another loop: set asyncio_default_fixture_loop_scope = {tests}", pytrace=False)


@pytest.fixture
def aidp_clock() -> ManualClock:
    """The clock of `aidp_service` and `aidp_client`: starts at the present, never waits, and records every pause."""
    from aidp_sessions.testing import ManualClock  # noqa: PLC0415

    return ManualClock()


@_async_fixture
async def aidp_service(request: pytest.FixtureRequest, aidp_clock: ManualClock) -> AsyncIterator[LocalService]:
    """A running `LocalService` for this test alone, without workspaces; its clock is `aidp_clock`."""
    from aidp_sessions.testing import LocalService  # noqa: PLC0415

    _refuse_another_loop(request)
    async with LocalService(clock=aidp_clock.time) as service:
        yield service


@_async_fixture
async def aidp_client(aidp_service: LocalService, aidp_clock: ManualClock) -> AsyncIterator[SessionsClient]:
    """A client of `aidp_service` that retries without waiting; closed after the test."""
    async with aidp_service.client(clock=aidp_clock) as client:
        yield client
