"""A real Jupyter server in a child process, with real kernels, on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import uuid
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_PATIENCE_S = 60.0
_GRACE_S = 10.0
_SERVER = "import sys; sys.modules['rfc3987_syntax'] = None; from jupyter_server import serverapp; serverapp.main()"
"""As `-m jupyter_server`, without the optional grammars of web addresses that are compiled in more than a second."""


class JupyterProcess:
    """Starts kernels, runs code in them and lists them, by the server's REST API."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._http = http

    async def start_session(self, path: str, *, kernel_id: str | None = None) -> dict[str, Any]:
        """Start a session for *path*, without a connection: on the kernel *kernel_id*, or on a new one."""
        kernel = {"name": "python3"} if kernel_id is None else {"id": kernel_id}
        document = {"path": path, "name": path, "type": "notebook", "kernel": kernel}
        async with self._http.post(f"{self.url}/api/sessions", json=document) as response:
            response.raise_for_status()
            session: dict[str, Any] = await response.json()
            return session

    async def sessions(self) -> list[dict[str, Any]]:
        async with self._http.get(f"{self.url}/api/sessions") as response:
            response.raise_for_status()
            sessions: list[dict[str, Any]] = await response.json()
            return sessions

    async def session(self, session_id: str) -> dict[str, Any]:
        (found,) = [session for session in await self.sessions() if session["id"] == session_id]
        return found

    async def end_session(self, session_id: str) -> None:
        """End the session and its kernel."""
        async with self._http.delete(f"{self.url}/api/sessions/{session_id}") as response:
            response.raise_for_status()

    async def restart(self, kernel_id: str) -> None:
        async with self._http.post(f"{self.url}/api/kernels/{kernel_id}/restart") as response:
            response.raise_for_status()

    @asynccontextmanager
    async def connected(self, kernel_id: str) -> AsyncIterator[Connection]:
        """Stay connected to a kernel, as an open notebook does."""
        async with self._http.ws_connect(f"{self.url}/api/kernels/{kernel_id}/channels") as socket:
            yield Connection(socket)

    async def execute(self, kernel_id: str, code: str) -> None:
        """Connect, run *code* until the kernel is idle again, and disconnect."""
        async with self.connected(kernel_id) as connection, asyncio.timeout(_PATIENCE_S):
            await connection.submit(code)
            await connection.until("idle")

    async def begin(self, kernel_id: str, code: str) -> None:
        """Connect, and disconnect as soon as the kernel is busy with *code*."""
        async with self.connected(kernel_id) as connection, asyncio.timeout(_PATIENCE_S):
            await connection.submit(code)
            await connection.until("busy")

    async def until(self, session_id: str, **kernel: object) -> dict[str, Any]:
        """Wait until the server shows these values of the session's kernel; return the session."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                session = await self.session(session_id)
                if kernel.items() <= session["kernel"].items():
                    return session


class Connection:
    """One websocket to one kernel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = ""

    async def submit(self, code: str) -> None:
        self._asked = uuid.uuid4().hex
        header = {"msg_id": self._asked, "msg_type": "execute_request", "username": "", "session": "", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        await self._socket.send_json(
            {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        )

    async def until(self, state: str) -> None:
        """Wait until the kernel reports *state* for the submitted code."""
        async for message in self._socket:
            told = json.loads(message.data)
            if told["parent_header"].get("msg_id") == self._asked and told["content"].get("execution_state") == state:
                return
        raise ConnectionError(f"the kernel's connection ended before it was {state}")


@contextmanager
def socket_folder() -> Iterator[str]:
    """A folder for the kernels' Unix sockets, whose paths have at most 107 characters; `tmp_path` is too long."""
    with TemporaryDirectory(prefix="jupyter-") as folder:
        yield folder


@asynccontextmanager
async def start_jupyter(folder: Path) -> AsyncIterator[JupyterProcess]:
    """Run a server until the end of the block; it keeps its files in *folder*, except its runtime files."""
    token = secrets.token_hex(16)
    places = {"HOME": "home", "IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
    # PYTHONWARNINGS and similar variables are meant for our code, not for the server's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER", "COV"))}
    options = {
        "IdentityProvider.token": token,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "ServerApp.root_dir": str(folder),
        "KernelManager.transport": "ipc",  # another process may take a TCP port before the kernel binds it
        "KernelManager.shutdown_wait_time": "0.1",
        "KernelRestarter.restart_limit": "0",  # a kernel that dies stays dead
        "KernelRestarter.time_to_dead": "0.1",
    }
    with socket_folder() as runtime:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _SERVER),
            *(f"--{name}={value}" for name, value in options.items()),
            env=inherited
            | {name: str(folder / place) for name, place in places.items()}
            | {"JUPYTER_RUNTIME_DIR": runtime},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                url = await _url(process, Path(runtime, f"jpserver-{process.pid}.json"))
            async with aiohttp.ClientSession(headers={"authorization": f"token {token}"}) as http:
                yield JupyterProcess(http, url, token)
        finally:
            await _end(process)


async def _url(process: asyncio.subprocess.Process, announcement: Path) -> str:
    """Wait for the file that the server writes right before it listens, and for the server to answer."""
    while process.returncode is None:
        try:
            url = str(json.loads(announcement.read_text())["url"]).rstrip("/")  # noqa: ASYNC240  # a few bytes
            async with aiohttp.ClientSession() as http, http.get(f"{url}/api"):
                return url
        except (FileNotFoundError, json.JSONDecodeError, aiohttp.ClientConnectionError):
            await asyncio.sleep(0.05)
    raise RuntimeError(f"jupyter_server ended with code {process.returncode} before it listened")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()
