"""Runs the command for the tests, in this process or in a child, without the settings of the user."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

import aidp_sessions
from aidp_sessions.cli.commands import command
from aidp_sessions.cli.options import SelectionOptions

if TYPE_CHECKING:
    import pytest
    from click.testing import Result

    from aidp_sessions.testing import LocalService

LONG_AGO = "2026-01-05T08:00:00Z"
OPTIONS = SelectionOptions(
    instance_id=None,
    profile=None,
    config_file=None,
    auth=None,
    region=None,
    endpoint=None,
    output=None,
    demo=False,
    proxy=None,
    ca_bundle=None,
    timeout=None,
    workspace=(),
    max_concurrency=None,
    path=None,
    cluster_id=None,
    agent_flow_key=None,
)
"""No option is given, so the environment decides."""
_SETTINGS = ("AIDP_", "OCI_", "INSTANCE_ID", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "SSL_CERT_FILE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def forget_settings(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Remove every variable that the command reads, and use *home*, an empty folder, as home directory."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS) or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))


def point_to(service: LocalService, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the environment variables that make the command ask *service*."""
    monkeypatch.setenv("OCI_CONFIG_FILE", str(service.write_config(folder)))
    monkeypatch.setenv("AIDP_INSTANCE_ID", service.platform_id)
    monkeypatch.setenv("AIDP_ENDPOINT", service.url)


async def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run the command in a thread, so that the service of this loop can answer it."""
    return await asyncio.to_thread(CliRunner(env=env).invoke, command, arguments)


async def start(
    *arguments: str,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    """Run the command in a child process, with warnings as errors."""
    source = str(Path(aidp_sessions.__file__).parents[1])
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "aidp_sessions", *arguments),
        env={**os.environ, "PYTHONPATH": source},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def lines(text: str) -> list[dict[str, object]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def wire(session_id: str, **kernel: object) -> dict[str, object]:
    """Make the JSON of a session: idle since `LONG_AGO`, with no connections, unless *kernel* changes that."""
    return {
        "id": session_id,
        "path": f"Workspace/{session_id}.ipynb",
        "type": "notebook",
        "kernel": {"name": "python3", "execution_state": "idle", "last_activity": LONG_AGO, "connections": 0, **kernel},
    }
