"""`open_session` waits for a usable session, and deletes the session that it created, and no other."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from aidp_sessions import NotFoundError, RequestTimeoutError, ServiceError
from aidp_sessions.testing import Fault, LocalService, ManualClock, RecordedRequest, make_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEW: Final = "Workspace/new.ipynb"
OLD: Final = make_session("old.ipynb", idle_for=timedelta(hours=1))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def platform(clock: ManualClock) -> AsyncIterator[LocalService]:
    """A service whose kernels take seven seconds to start."""
    async with LocalService(clock=clock.time, kernel_delay=7.0) as service:
        service.add_workspace("a", [OLD])
        yield service


def operations(service: LocalService) -> list[str | None]:
    return [request.operation for request in service.requests]


async def test_a_new_session_has_a_kernel_inside_and_is_gone_outside(
    platform: LocalService, clock: ManualClock
) -> None:
    async with platform.client(clock=clock) as client:
        async with client.open_session("a", NEW, cluster_id="c") as session:
            assert (session.path, session.cluster_id, session.lifecycle_state) == (NEW, "c", "ACTIVE")
            assert session.kernel is not None
            assert len(platform.sessions("a")) == 2

    assert [each.id for each in platform.sessions("a")] == [OLD.id]
    assert operations(platform) == ["list_sessions", "create_session", *["get_session"] * 3, "delete_session"]
    assert clock.pauses == (1.0, 2.0, 4.0)


async def test_an_existing_session_stays(platform: LocalService, clock: ManualClock) -> None:
    async with platform.client(clock=clock) as client:
        async with client.open_session("a", OLD.path or "") as session:
            assert session.id == OLD.id

    assert platform.deleted == ()
    assert operations(platform) == ["list_sessions", "create_session"]


@pytest.mark.parametrize("spelling", ["/Workspace/old.ipynb", "Workspace/old.ipynb/"])
async def test_an_existing_session_stays_even_if_its_path_is_written_differently(
    platform: LocalService, clock: ManualClock, spelling: str
) -> None:
    platform.set_session("a", attrs.evolve(OLD, path=spelling))

    def normalize(request: RecordedRequest) -> None:
        if request.operation == "create_session":
            platform.set_session("a", OLD)

    platform.on_request = normalize
    async with platform.client(clock=clock) as client:
        async with client.open_session("a", OLD.path or "") as session:
            assert session.id == OLD.id

    assert platform.deleted == ()


async def test_an_exception_in_the_block_passes_and_the_session_is_deleted(
    platform: LocalService, clock: ManualClock
) -> None:
    async with platform.client(clock=clock) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open_session("a", NEW):
                raise ZeroDivisionError

    assert [session.path for session in platform.deleted] == [NEW]


async def test_an_exception_in_the_block_is_not_hidden_by_a_deletion_that_fails(
    platform: LocalService, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    platform.fail("a", Fault(status=403, times=None), operation="delete_session")
    async with platform.client(clock=clock) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open_session("a", NEW):
                raise ZeroDivisionError

    (record,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "is left behind: delete_session of workspace 'a': 403" in record.getMessage()


async def test_a_deletion_that_fails_is_raised_after_a_block_that_succeeded(
    platform: LocalService, clock: ManualClock
) -> None:
    platform.fail("a", Fault(status=403), operation="delete_session")
    async with platform.client(clock=clock) as client:
        with pytest.raises(ServiceError, match="delete_session"):
            async with client.open_session("a", NEW):
                pass


async def test_a_session_that_is_gone_already_is_closed_without_an_error(
    platform: LocalService, clock: ManualClock
) -> None:
    async with platform.client(clock=clock) as client:
        async with client.open_session("a", NEW) as session:
            await client.delete_session("a", session.id)

    assert len(platform.deleted) == 1


async def test_a_cancelled_block_deletes_its_session(platform: LocalService, clock: ManualClock) -> None:
    entered = asyncio.Event()
    async with platform.client(clock=clock) as client:

        async def work() -> None:
            async with client.open_session("a", NEW):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert [session.path for session in platform.deleted] == [NEW]


async def test_it_gives_up_after_its_timeout_says_what_was_missing_and_deletes_the_session(clock: ManualClock) -> None:
    async with LocalService(clock=clock.time, kernel_delay=math.inf) as service:
        service.add_workspace("a")
        async with service.client(clock=clock) as client:
            with pytest.raises(RequestTimeoutError) as caught:
                async with client.open_session("a", NEW, timeout=10):
                    pytest.fail("it has no kernel")

        assert "was not ready after 10 s: its lifecycle_state is CREATING and it has no kernel" in str(caught.value)
        assert (caught.value.operation, caught.value.workspace_key) == ("open_session", "a")
        assert sum(clock.pauses) == 10
        assert [session.path for session in service.deleted] == [NEW]


async def test_it_gives_up_in_the_middle_of_a_request(platform: LocalService, clock: ManualClock) -> None:
    platform.fail("a", Fault(delay=math.inf), operation="get_session")
    async with platform.client(clock=clock) as client:
        with pytest.raises(RequestTimeoutError, match="it has no kernel"):
            async with client.open_session("a", NEW, timeout=0.2):
                pytest.fail("it has no kernel")

    assert [session.path for session in platform.deleted] == [NEW]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_session_that_failed_is_raised_at_once(
    platform: LocalService, clock: ManualClock, at_once: bool
) -> None:
    body = b'{"id": "broken", "lifecycleState": "FAILED"}'
    platform.fail("a", Fault(body=body), operation="create_session" if at_once else "get_session")
    async with platform.client(clock=clock) as client:
        with pytest.raises(ServiceError, match=r"open_session of workspace 'a': session \S+ is FAILED"):
            async with client.open_session("a", NEW):
                pytest.fail("it failed")

    assert clock.pauses == (() if at_once else (1.0,))


async def test_a_kernel_without_a_lifecycle_state_is_enough(platform: LocalService, clock: ManualClock) -> None:
    """Jupyter Server knows no such state."""
    platform.fail("a", Fault(body=b'{"id": "1", "kernel": {"name": "k"}}'), operation="create_session")
    async with platform.client(clock=clock) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.open_session("a", NEW) as session:
                assert session.id == "1"
                raise ZeroDivisionError

    assert clock.pauses == ()


async def test_a_failed_listing_creates_nothing(platform: LocalService, clock: ManualClock) -> None:
    """Without it, an existing session could not be told from a new one."""
    async with platform.client(clock=clock) as client:
        with pytest.raises(NotFoundError):
            async with client.open_session("b", NEW):
                pytest.fail("there is no such workspace")

    assert operations(platform) == ["list_sessions"]


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "5", None])
async def test_a_timeout_must_be_a_positive_number_of_seconds(platform: LocalService, seconds: Any) -> None:
    async with platform.client() as client:
        with pytest.raises((TypeError, ValueError), match="timeout"):
            client.open_session("a", NEW, timeout=seconds)
