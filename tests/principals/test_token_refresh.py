"""One refresh at a time, before the token expires, whatever callers do and whichever way it ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest

import aidp_sessions
from aidp_sessions import ClientClosedError, ConfigError, CredentialsError, InstancePrincipalSigner
from aidp_sessions.auth.token import Credentials, Token
from aidp_sessions.principals.refresh import TokenRefresher, TokenSigner
from aidp_sessions.principals.token_service import TransientCredentialsError
from aidp_sessions.testing import Fault, LocalMetadata, LocalService, LocalTokenService

from ..helpers.credentials import GET, jwt, key
from ..helpers.principals import (
    NOW,
    HandClock,
    background_tasks,
    client_of,
    settled,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIFETIME: Final = 3600.0
DUE: Final = NOW + LIFETIME - 300
OVER: Final = "it is over; start again"
FAILURES: Final = (
    ValueError("canary"),
    UnicodeError("canary"),
    RecursionError(),
    OSError(24, "Too many open files"),
    PermissionError(13, "Permission denied"),
    ModuleNotFoundError("canary"),
    ZeroDivisionError(),
)


@attrs.define
class Source:
    """Returns credentials that last an hour; first raises *failures*; each attempt waits for *gate*."""

    clock: HandClock
    failures: list[Exception] = attrs.field(factory=list)
    calls: int = 0
    gate: asyncio.Event | None = None
    lifetime: float = LIFETIME

    async def obtain(self) -> Credentials:
        self.calls += 1
        number = self.calls
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        token = Token.parse(jwt(exp=self.clock() + self.lifetime, n=number), "token", OVER)
        return Credentials(token, key())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def source(clock: HandClock) -> Source:
    return Source(clock)


@pytest.fixture
def refresher(source: Source, clock: HandClock) -> TokenRefresher:
    return TokenRefresher(source.obtain, "the token", OVER, clock.clock)


class TestRenewal:
    async def test_credentials_are_obtained_once_when_they_are_first_needed(
        self, refresher: TokenRefresher, source: Source
    ) -> None:
        assert (refresher.current, source.calls) == (None, 0)

        got = await asyncio.gather(*(refresher.get() for _ in range(100)))

        assert (source.calls, {id(credentials) for credentials in got}) == (1, {id(refresher.current)})

    async def test_the_old_token_is_used_while_the_new_one_is_obtained(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        old = await refresher.get()
        clock.now = DUE - 0.001
        assert await refresher.get() is old
        assert background_tasks() == []
        clock.now, source.gate = DUE, asyncio.Event()

        during = [await refresher.get() for _ in range(10)]
        assert background_tasks() == ["refresh the token"]
        source.gate.set()
        await settled()

        assert {id(credentials) for credentials in during} == {id(old)}
        assert source.calls == 2
        assert await refresher.get() is not old

    @pytest.mark.parametrize(("lifetime", "due_after"), [(3600.0, 3300.0), (1200.0, 900.0), (60.0, 45.0)])
    async def test_a_short_token_is_refreshed_in_the_last_quarter_of_its_time(
        self,
        lifetime: float,
        due_after: float,
        refresher: TokenRefresher,
        source: Source,
        clock: HandClock,
    ) -> None:
        source.lifetime = lifetime
        await refresher.get()
        clock.now = NOW + due_after - 1
        await refresher.get()
        assert background_tasks() == []
        clock.now = NOW + due_after
        await refresher.get()

        assert background_tasks() == ["refresh the token"]
        await settled()

    async def test_a_token_is_used_until_its_last_second_and_not_longer(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        old = await refresher.get()
        clock.now = NOW + LIFETIME
        assert await refresher.get() is old
        await settled()
        clock.now += LIFETIME + 1

        assert not (await refresher.get()).token.is_expired_at(clock())

    async def test_a_cancelled_waiter_does_not_cancel_the_refresh(
        self, refresher: TokenRefresher, source: Source
    ) -> None:
        source.gate = asyncio.Event()
        first, second = (asyncio.create_task(refresher.get()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        source.gate.set()

        assert await second is refresher.current
        assert source.calls == 1

    async def test_a_refresh_whose_only_waiter_was_cancelled_completes(
        self, refresher: TokenRefresher, source: Source
    ) -> None:
        source.gate = asyncio.Event()
        only = asyncio.create_task(refresher.get())
        await asyncio.sleep(0)
        only.cancel()
        await asyncio.wait([only])
        source.gate.set()
        await settled()

        assert refresher.current is not None

    async def test_a_transient_failure_is_retried_after_growing_pauses(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        source.failures = [TransientCredentialsError("busy"), TransientCredentialsError("busy")]

        await asyncio.gather(*(refresher.get() for _ in range(100)))

        assert (source.calls, clock.sleeps) == (3, [1.0, 2.0])

    async def test_retry_after_is_obeyed_up_to_a_minute(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        busy, busier = TransientCredentialsError("busy"), TransientCredentialsError("busy")
        busy.retry_after, busier.retry_after = 7.0, 3600.0
        source.failures = [busy, busier]

        await refresher.get()

        assert clock.sleeps == [7.0, 60.0]

    async def test_after_a_permanent_failure_each_waiter_has_its_own_error_and_no_other_attempt_is_made(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        source.failures = [TransientCredentialsError("busy") for _ in range(100)]

        first = await asyncio.gather(*(refresher.get() for _ in range(1000)), return_exceptions=True)
        later = await asyncio.gather(*(refresher.get() for _ in range(1000)), return_exceptions=True)

        assert source.calls == 4
        assert {(type(error), str(error)) for error in first + later} == {(CredentialsError, "busy (4 attempts)")}
        assert len({id(error) for error in first + later}) == 2000

    async def test_after_a_failure_there_is_no_attempt_for_a_time_that_grows_to_a_minute(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        source.failures = [CredentialsError("no") for _ in range(100)]
        asked_at = []
        for _ in range(3000):
            before = source.calls
            with pytest.raises(CredentialsError, match=r"^no$"):
                await refresher.get()
            if source.calls > before:
                asked_at.append(clock.now - NOW)
            clock.now += 0.1

        gaps = [round(later - earlier) for earlier, later in itertools.pairwise(asked_at)]
        assert gaps == [10, 20, 40, 60, 60, 60]

    async def test_a_failure_is_forgotten_after_a_success(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        source.failures = [CredentialsError("no")]
        with pytest.raises(CredentialsError):
            await refresher.get()
        clock.now += 10
        await refresher.get()
        clock.now += LIFETIME + 1

        await refresher.get()

        assert source.calls == 3

    async def test_a_refresh_that_fails_in_the_background_is_logged_and_the_old_token_is_used(
        self,
        refresher: TokenRefresher,
        source: Source,
        clock: HandClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        old = await refresher.get()
        clock.now = DUE
        source.failures = [ConfigError("the file is gone")]
        await refresher.get()
        await settled()

        assert await refresher.get() is old
        assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "aidp_sessions",
                "WARNING",
                "the token could not be refreshed and is kept, valid until 2033-05-18 04:33:20 UTC: the file is gone",
            )
        ]

    async def test_a_new_token_that_has_already_expired_is_named(
        self, refresher: TokenRefresher, source: Source
    ) -> None:
        source.lifetime = -1

        with pytest.raises(CredentialsError) as caught:
            await refresher.get()

        assert str(caught.value) == f"the token expired at 2033-05-18 03:33:19 UTC; {OVER}"

    async def test_closing_ends_the_refresh_and_its_waiters(self, refresher: TokenRefresher, source: Source) -> None:
        source.gate = asyncio.Event()
        waiting = [asyncio.create_task(refresher.get()) for _ in range(3)]
        await asyncio.sleep(0)

        await refresher.aclose()
        ends = await asyncio.gather(*waiting, return_exceptions=True)

        assert background_tasks() == []
        assert {str(end) for end in ends} == {"the token was being refreshed when the client was closed"}

    async def test_after_closing_it_can_be_used_again(self, refresher: TokenRefresher, source: Source) -> None:
        await refresher.aclose()
        await refresher.get()
        await refresher.aclose()

        assert (await refresher.get(), source.calls) == (refresher.current, 1)

    @pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
    async def test_after_any_failure_the_next_attempt_is_ten_seconds_later(
        self, failure: Exception, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        source.failures = [failure]
        errors = []
        for _ in range(50):
            with pytest.raises(CredentialsError) as caught:
                await refresher.get()
            errors.append(caught.value)

        assert {(str(error), error.__cause__) for error in errors} == {
            (f"the token could not be obtained: {type(failure).__name__}, see its cause", failure)
        }
        assert source.calls == 1
        clock.now += 10
        assert (await refresher.get(), source.calls) == (refresher.current, 2)

    def test_it_works_on_several_loops_even_if_one_ended_during_a_refresh(
        self, refresher: TokenRefresher, source: Source, clock: HandClock
    ) -> None:
        async def leave() -> None:
            source.gate = asyncio.Event()
            refresher._start()
            await asyncio.sleep(0)

        asyncio.run(leave())
        source.gate = None
        first = asyncio.run(refresher.get())
        clock.now += LIFETIME + 1

        assert asyncio.run(refresher.get()) is not first
        assert source.calls == 3


class TestRefusals:
    """A 401 to a request that was signed with a token."""

    @pytest.fixture
    def signer(self, source: Source, clock: HandClock) -> TokenSigner:
        class Sourced(TokenSigner):
            async def _obtain(self) -> Credentials:
                return await source.obtain()

        return Sourced("the token", OVER, clock=clock.clock)

    async def test_many_401s_with_one_token_fetch_one_new_token(
        self, signer: TokenSigner, source: Source, clock: HandClock
    ) -> None:
        rejected = await asyncio.gather(*(signer.sign(GET) for _ in range(50)))
        clock.now += 60

        answers = await asyncio.gather(*(signer.refresh(headers) for headers in rejected))
        late = await signer.refresh(rejected[0])

        assert (set(answers), late, source.calls) == ({True}, True, 2)

    async def test_a_new_token_that_is_refused_at_once_is_not_replaced(
        self, signer: TokenSigner, source: Source, clock: HandClock
    ) -> None:
        rejected = await signer.sign(GET)
        clock.now += 29

        assert (await signer.refresh(rejected), source.calls) == (False, 1)

    async def test_without_a_new_token_the_401_is_final(
        self, signer: TokenSigner, source: Source, clock: HandClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        rejected = await signer.sign(GET)
        clock.now += 60
        source.failures = [CredentialsError("no")]

        answers = [await signer.refresh(rejected) for _ in range(10)]

        assert (set(answers), source.calls) == ({False}, 2)
        assert "the token was rejected and cannot be refreshed: no" in caplog.messages


@attrs.frozen
class Instance:
    """An instance, its services, and their common clock."""

    clock: HandClock
    service: LocalService
    metadata: LocalMetadata
    tokens: LocalTokenService

    def signer(self) -> InstancePrincipalSigner:
        return InstancePrincipalSigner(
            metadata_url=self.metadata.url,
            federation_endpoint=self.tokens.x509_url,
            clock=self.clock.clock,
        )


@pytest.fixture
async def instance(clock: HandClock) -> AsyncIterator[Instance]:
    async with (
        LocalService(clock=clock) as service,
        LocalMetadata(clock=clock) as metadata,
        LocalTokenService(trusting=service, clock=clock) as tokens,
    ):
        service.add_workspace("k", [])
        yield Instance(clock, service, metadata, tokens)


def options(clock: HandClock) -> dict[str, object]:
    return {"clock": clock.clock}


class TestThroughTheClient:
    async def test_a_thousand_calls_at_the_time_of_expiry_make_one_refresh_and_all_succeed(
        self, instance: Instance
    ) -> None:
        """The service refuses the expired token, so a call signed with it would make one more request."""
        async with client_of(instance.service, instance.signer(), **options(instance.clock)) as client:
            await client.list_sessions("k")
            instance.clock.now += LIFETIME + 1
            instance.service.distrust(f"ST${instance.tokens.issued[0]}")
            instance.service.reset_counts()

            answers = await asyncio.gather(*(client.list_sessions("k") for _ in range(1000)))

        assert (len(answers), len(instance.tokens.requests)) == (1000, 2)
        assert instance.service.request_count == 1000
        assert {request.status for request in instance.service.requests} == {200}
        assert background_tasks() == []

    async def test_a_thousand_calls_succeed_if_the_refresh_succeeds_in_its_third_attempt(
        self, instance: Instance
    ) -> None:
        async with client_of(instance.service, instance.signer(), **options(instance.clock)) as client:
            await client.list_sessions("k")
            instance.clock.now += LIFETIME + 1
            instance.tokens.fail(Fault(status=503), Fault(cut="before_headers"))

            answers = await asyncio.gather(*(client.list_sessions("k") for _ in range(1000)))

        assert (len(answers), len(instance.tokens.requests)) == (1000, 4)

    async def test_if_the_refresh_fails_each_call_has_one_error_after_four_attempts(self, instance: Instance) -> None:
        instance.tokens.fail(Fault(status=503, times=None))
        async with client_of(instance.service, instance.signer(), **options(instance.clock)) as client:
            ends = await asyncio.gather(*(client.list_sessions("k") for _ in range(1000)), return_exceptions=True)

        assert len(instance.tokens.requests) == 4
        assert instance.service.request_count == 0
        reason = "answered 503 ServiceUnavailable: The service is currently unavailable. (4 attempts)"
        assert {(type(end), getattr(end, "message", None)) for end in ends} == {
            (CredentialsError, f"the token service at {instance.tokens.x509_url} {reason}")
        }
        assert len({id(end) for end in ends}) == 1000

    async def test_before_expiry_calls_do_not_wait_for_the_refresh(self, instance: Instance) -> None:
        async with client_of(instance.service, instance.signer(), **options(instance.clock)) as client:
            await client.list_sessions("k")
            instance.clock.now += LIFETIME - 200
            instance.tokens.fail(Fault(delay=3600.0))

            await asyncio.gather(*(client.list_sessions("k") for _ in range(100)))
            assert background_tasks() == ["refresh the instance's token"]

        assert background_tasks() == []

    async def test_a_token_that_is_refused_is_replaced_within_the_call(self, instance: Instance) -> None:
        async with client_of(instance.service, instance.signer(), **options(instance.clock)) as client:
            await client.list_sessions("k")
            instance.clock.now += 60
            instance.service.distrust(f"ST${instance.tokens.issued[0]}")

            await asyncio.gather(*(client.list_sessions("k") for _ in range(100)))

        assert len(instance.tokens.issued) == 2

    async def test_closing_the_client_ends_a_call_that_waits_for_a_token(self, instance: Instance) -> None:
        instance.tokens.fail(Fault(delay=3600.0))
        client = client_of(instance.service, instance.signer(), **options(instance.clock))
        call = asyncio.create_task(client.list_sessions("k"))
        while not instance.tokens.requests:
            await asyncio.sleep(0)

        await client.aclose()

        with pytest.raises(ClientClosedError, match="the client was closed while this call was under way"):
            await call
        assert background_tasks() == []

    async def test_a_signer_that_two_clients_share_works_until_the_last_one_is_closed(self, instance: Instance) -> None:
        signer = instance.signer()
        one = client_of(instance.service, signer, **options(instance.clock))
        async with client_of(instance.service, signer, **options(instance.clock)) as other:
            await one.list_sessions("k")
            await other.list_sessions("k")
            await one.with_options().list_sessions("k")
            instance.clock.now += LIFETIME - 200
            instance.tokens.fail(Fault(delay=3600.0))
            await one.list_sessions("k")
            await one.aclose()
            assert background_tasks() == ["refresh the instance's token"]

        assert background_tasks() == []

    async def test_the_signer_of_a_copy_is_closed_with_the_original(self, instance: Instance) -> None:
        async with client_of(instance.service, instance.service.signer, **options(instance.clock)) as client:
            instance.tokens.fail(Fault(), Fault(delay=3600.0))
            copy = client.with_options(signer=instance.signer())
            await copy.list_sessions("k")
            instance.clock.now += LIFETIME - 200
            await copy.list_sessions("k")
            assert background_tasks() == ["refresh the instance's token"]

        assert background_tasks() == []

    async def test_the_signer_of_a_copy_is_freed_with_the_copy(self, instance: Instance) -> None:
        """A service may copy its client for each of its users."""
        signer = instance.signer()
        freed = weakref.ref(signer)
        async with client_of(instance.service, instance.service.signer, **options(instance.clock)) as client:
            await client.with_options(signer=signer).list_sessions("k")
            del signer
            gc.collect()
            assert freed() is None


PROGRAM = """
import asyncio, sys
from aidp_sessions import Clock, InstancePrincipalSigner, OkeWorkloadIdentitySigner, SessionsClient
from aidp_sessions.auth.files import TextFile
from aidp_sessions.testing import LocalMetadata, LocalProxymux, LocalService, LocalTokenService

now = [2_000_000_000.0]
clock = lambda: now[0]

async def main(folder, close):
    async with LocalService(clock=clock) as service:
        async with LocalMetadata(clock=clock) as metadata:
            async with LocalTokenService(trusting=service, clock=clock) as tokens:
                async with LocalProxymux(trusting=service, clock=clock) as proxymux:
                    service.add_workspace("k", [])
                    pod, ca_file = proxymux.write_pod(folder, lifetime=1e6)
                    signers[0]._metadata_urls = (metadata.url,)
                    signers[0]._federation = tokens.x509_url
                    signers[1]._url = proxymux.origin + "/resourcePrincipalSessionTokens"
                    signers[1]._account_file, signers[1]._ca_file = TextFile(pod, "token"), TextFile(ca_file, "CA")
                    for signer in signers:
                        client = SessionsClient(
                            service.platform_id, signer=signer, endpoint=service.url, clock=Clock(time=clock)
                        )
                        await client.list_sessions("k")
                        now[0] += 3400
                        await client.list_sessions("k")
                        if close:
                            await client.aclose()
                        now[0] += 3400

signers = [
    InstancePrincipalSigner(clock=Clock(time=clock), metadata_url="http://x", federation_endpoint="https://x"),
    OkeWorkloadIdentitySigner(clock=Clock(time=clock), host="x", environ={}),
]
for close in (True, False):
    asyncio.run(main(sys.argv[1], close))
    now[0] += 10_000
print("done")
"""


def test_signers_work_on_two_loops_one_after_the_other_and_leave_nothing_behind(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
        env={"PYTHONPATH": str(Path(aidp_sessions.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (finished.stderr, finished.stdout, finished.returncode) == ("", "done\n", 0)
