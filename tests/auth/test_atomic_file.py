"""Files are replaced in one step, or written in place where that is impossible."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from aidp_sessions.auth.atomic_file import atomic_writer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and devices are POSIX")


def write(path: Path, text: str, mode: int | None = None) -> None:
    with atomic_writer(path, mode=mode) as put:
        put(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_old_text_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    with atomic_writer(target) as put:
        before = target.read_text()
        put("né\n")

    assert (before, target.read_bytes()) == ("old", b"n\xc3\xa9\n")
    assert set(contents(tmp_path)) == {"target"}


def test_without_a_call_everything_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")

    with pytest.raises(ZeroDivisionError), atomic_writer(tmp_path / "target"):
        raise ZeroDivisionError

    assert contents(tmp_path) == {"target": "old"}


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")

    write(tmp_path / "link", "new")

    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "folder") == {"target": "new"}


def test_a_new_file_gets_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()

    write(tmp_path / "target", "new")

    assert (tmp_path / "target").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o600, 0o600)])
def test_a_file_keeps_its_mode_unless_another_is_asked_for(tmp_path: Path, mode: int | None, expected: int) -> None:
    target = tmp_path / "target"
    target.touch()
    target.chmod(0o640)

    write(target, "new", mode)

    assert stat.S_IMODE(target.stat().st_mode) == expected


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    os.chown(target, 1234, 2345)

    write(target, "new")

    assert (target.stat().st_uid, target.stat().st_gid, target.read_text()) == (1234, 2345, "new")


def test_a_file_whose_owner_cannot_be_kept_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    target = tmp_path / "target"
    target.write_text("old and longer")
    before = target.stat()
    monkeypatch.setattr(os, "chown", refuse)

    write(target, "new")

    after = target.stat()
    assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, before.st_uid, before.st_mode)
    assert contents(tmp_path) == {"target": "new"}


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    write(pipe, "new")

    assert os.read(reader, 100) == b"new"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)


def test_a_device_that_is_full_is_an_error_that_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left on device"):
        write(tmp_path / "link", "new")

    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_the_longest_name_that_a_file_can_have_is_no_problem(tmp_path: Path) -> None:
    write(tmp_path / ("n" * 255), "new")

    assert contents(tmp_path) == {"n" * 255: "new"}


@pytest.mark.parametrize("path", ["absent/target", ".", ""])
def test_a_path_that_cannot_be_written_is_an_error_on_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OSError, match=r"No such file or directory|Is a directory"), atomic_writer(path):
        pytest.fail("it was entered")
