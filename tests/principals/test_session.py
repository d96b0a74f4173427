"""A session is refreshed before it expires, in its file, once even by several processes; errors say why it ended."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from aidp_sessions import ConfigError, CredentialsError, SessionTokenSigner
from aidp_sessions.auth.files import TextFile
from aidp_sessions.testing import Fault, LocalTokenService

from ..helpers.credentials import GET, key, pem
from ..helpers.principals import (
    NOW,
    HandClock,
    background_tasks,
    settled,
    token_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

END = "2033-05-18 04:33:20 UTC"


@attrs.frozen
class Session:
    """The files of a session that ends in an hour."""

    folder: Path
    clock: HandClock
    tokens: LocalTokenService

    @property
    def file(self) -> Path:
        return self.folder / "token"

    def signer(self, **changes: Any) -> SessionTokenSigner:
        arguments = {
            "token_file": self.file,
            "private_key": self.folder / "key.pem",
            "refresh_endpoint": self.tokens.refresh_url,
            "clock": self.clock.clock,
            **changes,
        }
        return SessionTokenSigner(**arguments)

    def near_its_end(self) -> None:
        self.clock.now = NOW + 3600 - 300


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    clock = HandClock()
    async with LocalTokenService(clock=clock) as tokens:
        (tmp_path / "key.pem").write_text(pem())
        (tmp_path / "token").write_text(tokens.open_session(key()))
        yield Session(tmp_path, clock, tokens)


async def test_it_is_refreshed_before_it_expires_and_the_old_token_is_used_meanwhile(session: Session) -> None:
    signer = session.signer()
    session.clock.now = NOW + 3299
    await signer.sign(GET)
    assert background_tasks() == []
    session.near_its_end()

    during = token_in(await signer.sign(GET))
    await settled()
    after = token_in(await signer.sign(GET))

    assert [during, after] == session.tokens.issued
    assert signer.expires_at.timestamp() == NOW + 3300 + 3600


async def test_the_new_token_is_written_for_its_owner_only_and_not_read_again(session: Session) -> None:
    session.file.chmod(0o644)
    signer = session.signer()
    session.near_its_end()
    await signer.sign(GET)
    await settled()

    assert session.file.read_text() == session.tokens.issued[1]
    assert stat.S_IMODE(session.file.stat().st_mode) == 0o600
    assert sorted(path.name for path in session.folder.iterdir()) == ["key.pem", "token"]
    assert signer._file_versions() == signer._current.versions


async def test_a_new_token_is_used_even_if_its_file_cannot_be_written(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    signer = session.signer()
    session.near_its_end()
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    await signer.sign(GET)
    await settled()

    assert token_in(await signer.sign(GET)) == session.tokens.issued[1]
    reason = f"session token file {session.file} cannot be written: Read-only file system"
    assert caplog.messages == [f"the new session token is used, but not saved for other programs: {reason}"]


async def test_the_older_token_in_a_file_that_cannot_be_written_is_not_taken_for_a_newer_one(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    signer = session.signer()
    for number in (1, 2, 3):
        session.clock.now += 3300
        await signer.sign(GET)
        await settled()
        rejected = await signer.sign(GET)

        assert token_in(rejected) == session.tokens.issued[number]
        assert await signer.refresh(rejected) is False
        assert token_in(await signer.sign(GET)) == session.tokens.issued[number]


async def test_a_token_that_another_process_has_refreshed_is_used(session: Session) -> None:
    signer, other = session.signer(), session.signer()
    session.near_its_end()
    await other.sign(GET)
    await settled()

    token = token_in(await signer.sign(GET))
    await settled()

    assert token == session.tokens.issued[1]
    assert len(session.tokens.requests) == 1


async def test_a_session_that_cannot_be_extended_is_logged_once_and_not_refreshed_again(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.tokens.extends = False
    signer = session.signer()
    session.near_its_end()
    for _ in range(10):
        await signer.sign(GET)
        await settled()
        session.clock.now += 20

    way_out = "run `oci session authenticate` before then"
    assert caplog.messages == [f"session token file {session.file} ends at {END} and cannot be extended; {way_out}"]
    assert len(session.tokens.requests) == 1
    assert session.file.read_text() == session.tokens.issued[0]


async def test_a_session_whose_refresh_is_refused_is_used_until_it_expires(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.tokens.fail(Fault(status=401, message="Over."))
    signer = session.signer()
    session.near_its_end()
    for _ in range(10):
        await signer.sign(GET)
        await settled()
        session.clock.now += 20
    session.clock.now = NOW + 3601

    with pytest.raises(CredentialsError) as caught:
        await signer.sign(GET)

    kept = f"session token file {session.file} could not be refreshed and is kept, valid until {END}"
    refusal = f"the token service at {session.tokens.refresh_url} answered 401 NotAuthenticated: Over."
    way_out = "the session cannot be refreshed any more; run `oci session authenticate`"
    assert caplog.messages == [f"{kept}: {refusal}; {way_out}"]
    assert len(session.tokens.requests) == 1
    assert str(caught.value) == (
        f"session token file {session.file} expired at {END}; "
        "run `oci session refresh`, or `oci session authenticate` if that fails"
    )


async def test_a_new_session_after_one_that_could_not_be_refreshed_is_refreshed_again(session: Session) -> None:
    session.tokens.extends = False
    signer = session.signer()
    session.near_its_end()
    await signer.sign(GET)
    await settled()
    session.tokens.extends = True
    session.file.write_text(session.tokens.open_session(key()))
    session.clock.now += 3400
    await signer.sign(GET)
    await settled()

    assert token_in(await signer.sign(GET)) == session.tokens.issued[-1]
    assert len(session.tokens.requests) == 2


async def test_a_busy_service_is_asked_again(session: Session) -> None:
    session.tokens.fail(Fault(status=503), Fault(status=429))
    signer = session.signer()
    session.near_its_end()
    await signer.sign(GET)
    await settled()

    assert session.clock.sleeps == [1.0, 2.0]
    assert session.file.read_text() == session.tokens.issued[1]


@pytest.mark.parametrize("changes", [{"refresh_endpoint": None}, {"token": "", "token_file": None}])
async def test_without_a_token_service_or_a_file_it_is_not_refreshed(changes: dict[str, Any], session: Session) -> None:
    if "token" in changes:
        changes = {**changes, "token": session.file.read_text()}
    signer = session.signer(**changes)
    session.near_its_end()
    await signer.sign(GET)

    assert (background_tasks(), session.tokens.requests) == ([], [])


def test_the_token_service_is_that_of_the_region(session: Session) -> None:
    signer = session.signer(refresh_endpoint=None, region="FRA")

    assert signer._refresh_url == "https://auth.eu-frankfurt-1.oraclecloud.com/v1/authentication/refresh"
    with pytest.raises(ConfigError, match="region 'eu-x-1' is not known"):
        session.signer(refresh_endpoint=None, region="eu-x-1")


class TestReplacingAFile:
    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to(tmp_path / "real")

        TextFile(tmp_path / "link", "token file").replace("new")

        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").read_text() == "new"

    def test_a_reader_that_has_the_old_file_open_sees_all_of_it(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.write_text("old")
        with path.open() as reader:
            TextFile(path, "token file").replace("new")

            assert reader.read() == "old"

    def test_a_failure_leaves_the_old_file_and_no_other(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        path = tmp_path / "token"
        path.write_text("old")
        monkeypatch.setattr(os, "fsync", refuse)

        with pytest.raises(ConfigError) as caught:
            TextFile(path, "token file").replace("new")

        assert str(caught.value) == f"token file {path} cannot be written: No space left on device"
        assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("token", "old")]
