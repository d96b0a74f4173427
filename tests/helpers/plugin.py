"""The pytest plugin as it is installed: a separate module with an entry point."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import entry_points
from pathlib import Path

import aidp_sessions

_PACKAGE = Path(aidp_sessions.__file__).parent
_SOURCE = _PACKAGE / "testing" / "pytest_plugin.py"
_MODULE = "_aidp_sessions_pytest"


def path_with_plugin(folder: Path) -> str:
    """Return a ``PYTHONPATH`` with the package under test and its plugin, put into *folder* if it is not installed."""
    path = [str(_PACKAGE.parent)]
    if _SOURCE.exists():
        info = folder / "aidp_sessions-0.dist-info"
        info.mkdir(parents=True)
        shutil.copy(_SOURCE, folder / f"{_MODULE}.py")
        (info / "METADATA").write_text("Metadata-Version: 2.4\nName: aidp-sessions\nVersion: 0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[pytest11]\naidp_sessions = {_MODULE}\n", encoding="utf-8")
        path.insert(0, str(folder))
    else:
        assert entry_points(group="pytest11", name="aidp_sessions")["aidp_sessions"].value == _MODULE
    return os.pathsep.join(path)
