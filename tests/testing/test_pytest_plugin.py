"""The fixtures for other projects, in runs of pytest as those projects have them."""

from __future__ import annotations

import pytest

from ..helpers.plugin import path_with_plugin

pytest_plugins = ["pytester"]

STRICT = ("-W", "error", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short")
LOOP = "asyncio_default_fixture_loop_scope=function"
ASKED = """
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
import attrs, pytest
from aidp_sessions import Clock, TooManyRequestsError
from aidp_sessions.testing import Fault, make_session

async def test_pauses_are_noted_and_not_waited_for(aidp_service, aidp_client, aidp_clock):
    began = aidp_clock.now
    aidp_service.add_workspace("analytics")
    aidp_service.fail("analytics", Fault(status=503), Fault(status=429, retry_after=7), Fault(cut="in_body"))
    await aidp_client.list_sessions("analytics")
    assert aidp_clock.pauses == (0.25, 7.5, 1.0)
    assert aidp_clock.now - began == timedelta(seconds=8.75)

async def test_the_last_error_is_raised(aidp_service, aidp_client, aidp_clock):
    aidp_service.add_workspace("analytics")
    aidp_service.fail("analytics", Fault(status=429, times=None))
    with pytest.raises(TooManyRequestsError):
        await aidp_client.list_sessions("analytics")
    assert aidp_clock.pauses == (0.25, 0.5, 1.0, 2.0, 4.0)

async def test_client_and_service_live_at_the_time_of_the_clock(aidp_service, aidp_client, aidp_clock):
    aidp_clock.set(datetime(2019, 12, 31, tzinfo=UTC))
    made = make_session(idle_for=timedelta(hours=3), now=aidp_clock.now)
    aidp_service.add_workspace("analytics", [made])
    stream = aidp_client.sessions("analytics")
    assert await stream.idle_since(timedelta(hours=4)).collect() == []
    aidp_clock.advance(timedelta(hours=1))
    assert await stream.idle_since(timedelta(hours=4)).collect() == [attrs.evolve(made, workspace_key="analytics")]
    assert [request.status for request in aidp_service.requests] == [200, 200]
    assert {request.started_at for request in aidp_service.requests} == {
        datetime(2019, 12, 31, hour, tzinfo=UTC).timestamp() for hour in (0, 1)
    }

async def test_each_test_has_its_own(aidp_service, aidp_clock):
    assert (aidp_service.request_count, aidp_clock.pauses) == (0, ())
    aidp_service.add_workspace("analytics")

async def test_the_service_answers(aidp_service, aidp_client):
    aidp_service.add_workspace("analytics")
    assert list(await aidp_client.list_sessions("analytics")) == []
    test_the_service_answers.url = aidp_service.url

async def test_the_service_is_gone():
    url = urlsplit(test_the_service_answers.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port))
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project whose environment has the plugin, and of the others only pytest-asyncio: each takes its time."""
    monkeypatch.setenv("PYTHONPATH", path_with_plugin(pytester.path / "site"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_asyncio.plugin,_aidp_sessions_pytest")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(project: pytest.Pytester, *settings: str) -> pytest.RunResult:
    """Run the tests of *project* in order, every warning an error."""
    options = (f"--override-ini={setting}" for setting in settings)
    return project.runpytest_subprocess(*STRICT, *options)


@pytest.mark.parametrize(("mode", "scope"), [("auto", "function"), ("auto", "session"), ("strict", "function")])
def test_the_fixtures_work_in_every_mode_and_loop(project: pytest.Pytester, mode: str, scope: str) -> None:
    """Pauses are asserted without waiting, and each test has its own service, which ends with it."""
    mark = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    project.makepyfile(mark + ASKED)
    scopes = (f"asyncio_default_{what}_loop_scope={scope}" for what in ("fixture", "test"))

    run(project, f"asyncio_mode={mode}", *scopes).assert_outcomes(passed=6)


def test_a_test_on_another_loop_fails_with_the_setting_to_change(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.mark.asyncio(loop_scope="module")
        async def test_it(aidp_client):
            raise AssertionError("not reached")
    """)

    result = run(project, LOOP)

    result.assert_outcomes(errors=1)
    assert "the test runs in another loop: set asyncio_default_fixture_loop_scope = module" in result.outlines


def test_a_project_that_uses_no_fixture_imports_nothing(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here pytest finds the plugin by its entry point."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    project.makepyfile("""
        import sys

        def test_nothing():
            assert "_aidp_sessions_pytest" in sys.modules
            assert sys.modules.keys() & {"aidp_sessions", "aiohttp", "cryptography", "msgspec", "cattrs"} == set()
    """)

    run(project, LOOP).assert_outcomes(passed=1)


def test_without_pytest_asyncio_only_tests_that_use_a_fixture_fail(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collection succeeds, synchronous tests pass, and the errors of the others say what is missing."""
    project.makepyfile(
        pytest_asyncio="raise ImportError('not installed')",
        test_it="""
            from aidp_sessions.testing import make_session

            def test_pure(aidp_clock):
                assert aidp_clock.pauses == ()

            def test_service(aidp_service):
                pass

            def test_client(aidp_client):
                pass
        """,
    )

    monkeypatch.setenv("PYTEST_PLUGINS", "_aidp_sessions_pytest")

    result = project.runpytest_subprocess(*STRICT)

    result.assert_outcomes(passed=1, errors=2)
    assert [line for line in result.outlines if line.startswith("aidp_")] == [
        "aidp_service needs pytest-asyncio: pip install pytest-asyncio",
        "aidp_client needs pytest-asyncio: pip install pytest-asyncio",
    ]


def test_the_fixtures_are_listed_with_their_docstrings(project: pytest.Pytester) -> None:
    listed = project.runpytest_subprocess("--fixtures").outlines

    assert [line.partition(" -- ")[0] for line in listed if line.startswith("aidp_")] == [
        "aidp_clock",
        "aidp_service",
        "aidp_client",
    ]
    assert not any("no docstring available" in line for line in listed if "aidp_" in line)
