"""The cost of an import, in time and modules, and of an installation, in bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .measure import Figures

MODULES: Final = ("aiohttp", "aidp_sessions", "oci.async_base_client", "aidp_python_client.aidataplatform_dp")
_ROOT: Final = Path(__file__).parent.parent
_PROGRAM: Final = """
import json, sys, time
before, times = len(sys.modules), [time.perf_counter()]
for module in sys.argv[1:]:
    __import__(module)
    times.append(time.perf_counter())
unwanted = sum(name in sys.modules for name in ("oci", "requests", "rich", "click", "aidp_python_client"))
first, whole = times[1] - times[0], times[-1] - times[0]
figures = {"import_ms": whole * 1e3, "modules": len(sys.modules) - before, "unwanted": unwanted}
print(json.dumps({**figures, **({"of_aiohttp": whole / first} if len(times) > 2 else {})}))
"""


def imported(module: str) -> Figures:
    """Import *module* in a new interpreter; *unwanted* counts what a library like ours must not import.

    Ours imports aiohttp anyway. It is made to begin with it, so that a ratio comes from one process: two processes
    differ by more than what is to be measured.
    """
    names = ("aiohttp", module) if module == "aidp_sessions" else (module,)
    command = [sys.executable, "-c", _PROGRAM, *names]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=_ROOT).stdout  # noqa: S603  # ours
    return cast("Figures", json.loads(output))


def installed_size(module: str) -> Figures:
    """Megabytes of the distribution that holds *module* and of everything that it requires."""
    if module != "aidp_sessions":
        return {"installed_mb": _bytes_of([module.partition(".")[0].replace("_", "-")]) / 1e6}
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    own = sum(file.stat().st_size for file in (_ROOT / "aidp_sessions").rglob("*.py"))
    return {"installed_mb": (own + _bytes_of(map(_name, project["dependencies"]))) / 1e6}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _bytes_of(names: Iterable[str]) -> int:
    todo, seen, total = list(names), set[str](), 0
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # required on another platform or Python only
            continue
        places = [Path(str(file.locate())) for file in found.files or ()]
        total += sum(place.stat().st_size for place in places if place.is_file())
        todo += [_name(text) for text in found.requires or () if "extra ==" not in text]
    return total
