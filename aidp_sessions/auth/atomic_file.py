"""Replaces a file in one step: readers see its old content or its new one."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@contextmanager
def atomic_writer(
    path: str | os.PathLike[str], *, mode: int | None = None
) -> Generator[Callable[[str], os.stat_result]]:
    """Yield a function that replaces the file *path*. If it is not called, the file stays as it was.

    The new file gets the owner and, unless *mode* is given, the mode of the old one. A symbolic link is followed. What
    cannot be replaced (a device, a pipe, a file in a protected folder, another user's file) is written in place.
    Raises `OSError` on entry if the file cannot be written.
    """
    handle, temporary = _open(path, mode)
    with ExitStack() as stack:
        if temporary is not None:
            stack.callback(temporary.unlink, missing_ok=True)
        file = stack.enter_context(os.fdopen(handle, "wb", buffering=0))

        def write(text: str) -> os.stat_result:
            if temporary is None:
                with suppress(OSError):  # a device or a pipe has no length
                    os.ftruncate(handle, 0)
            rest = memoryview(text.encode())
            while rest:
                rest = rest[file.write(rest) :]
            written = os.fstat(handle)
            if temporary is not None:
                os.fsync(handle)
                file.close()  # Windows replaces no open file
                temporary.replace(os.path.realpath(path))
            return written

        yield write


def _open(path: str | os.PathLike[str], mode: int | None) -> tuple[int, Path | None]:
    """Open a temporary file beside *path*, or *path* itself if it has to be written in place."""
    try:
        old = Path(path).stat()
    except FileNotFoundError:
        return _open_temporary(path, None, _default_mode() if mode is None else mode)
    if stat.S_ISREG(old.st_mode):
        with suppress(PermissionError):
            return _open_temporary(path, old, stat.S_IMODE(old.st_mode) if mode is None else mode)
    return os.open(path, os.O_WRONLY), None


def _open_temporary(path: str | os.PathLike[str], old: os.stat_result | None, mode: int) -> tuple[int, Path]:
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=Path(os.path.realpath(path)).parent)
    temporary = Path(name)
    try:
        if old is not None and hasattr(os, "chown"):  # not on Windows
            os.chown(temporary, old.st_uid, old.st_gid)
        temporary.chmod(mode)
    except OSError:
        os.close(handle)
        temporary.unlink()
        raise
    return handle, temporary


def _default_mode() -> int:
    os.umask(mask := os.umask(0))
    return 0o666 & ~mask
