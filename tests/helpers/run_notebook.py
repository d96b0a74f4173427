"""Runs cells on a real kernel, as a notebook does, and returns the outputs of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from .jupyter import socket_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

_PATIENCE_S = 60
_PLACES = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


@attrs.frozen
class Shown:
    """The outputs of one cell.

    Attributes:
        html: the HTML of each output that has some.
        stdout: the text it printed.
        stderr: warnings, logged errors and the like.
        everything: all outputs in every format, as a notebook file has them.
    """

    html: list[str]
    stdout: str
    stderr: str
    everything: str


def move_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make kernels keep their files in *folder*, and print no hint about debugging."""
    for place in _PLACES:
        monkeypatch.setenv(place, str(folder))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


async def run_cells(cells: Sequence[str], folder: Path) -> list[Shown]:
    """Run *cells* in order on one kernel whose working directory is *folder*; a cell that raises ends the test."""
    v4: Any = nbformat.v4  # it has no types
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    with socket_folder() as sockets:
        client = NotebookClient(
            notebook,
            timeout=_PATIENCE_S,
            resources={"metadata": {"path": str(folder)}},
            extra_arguments=["--log-level=ERROR"],  # the kernel warns that its connections are not encrypted
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
        )
        await client.async_execute()
    return [_shown(cell["outputs"]) for cell in notebook["cells"]]


def _shown(outputs: list[nbformat.NotebookNode]) -> Shown:
    streams = {name: "".join(o["text"] for o in outputs if o.get("name") == name) for name in ("stdout", "stderr")}
    html = [o["data"]["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    return Shown(html, **streams, everything=str(outputs))
