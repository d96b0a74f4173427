"""Runs the command on a pseudo-terminal of a given size, and reads what it writes."""

from __future__ import annotations

import asyncio
import os
import re
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from .cli_runner import start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_PATIENCE_S = 60.0


@attrs.define
class Terminal:
    """A terminal on which the command runs.

    Attributes:
        process: the command.
        raw: everything written to the terminal so far.
    """

    process: asyncio.subprocess.Process
    _file: int
    raw: str = ""

    @property
    def text(self) -> str:
        """Everything written, without colours; a line that replaces another follows it."""
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")

    async def until(self, pattern: str) -> None:
        """Read until *pattern* occurs in `text`."""
        async with asyncio.timeout(_PATIENCE_S):
            while not re.search(pattern, self.text, re.MULTILINE):
                assert await self._read(), f"it ended without {pattern!r}: {self.text}"

    def type(self, keys: str) -> None:
        os.write(self._file, keys.encode())

    async def end(self) -> int:
        """Read to the end; return the exit status."""
        async with asyncio.timeout(_PATIENCE_S):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> bool:
        try:
            chunk = await asyncio.to_thread(os.read, self._file, 65536)
        except OSError:  # on Linux: the other end was closed
            return False
        self.raw += chunk.decode(errors="replace")
        return bool(chunk)


@asynccontextmanager
async def on_terminal(
    *arguments: str, columns: int = 80, lines: int = 24, stdout: int | None = None, stderr: int | None = None
) -> AsyncIterator[Terminal]:
    """Run the command on a terminal of that size; *stdout* or *stderr* may go elsewhere."""
    import fcntl  # noqa: PLC0415  # there is none on Windows
    import termios  # noqa: PLC0415

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = await start(*arguments, stdin=theirs, stdout=stdout or theirs, stderr=stderr or theirs)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
