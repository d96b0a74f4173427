"""Times the commands of the README from nothing to a first test; needs a package index.

``python -m benchmarks.newcomer`` makes a fresh virtual environment and takes each command and program from its place
under a heading of README.md. It ends with status 1 at the first step that fails. Needs nothing but Python itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def block(heading: str, language: str, containing: str = "") -> str:
    """Find the first block of *language* under *heading* that has *containing* in it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", section[1] if section else "", re.MULTILINE | re.DOTALL
    )
    found = next((each for each in blocks if containing in each), None)
    if found is None:
        sys.exit(f"README.md: under '## {heading}' is no block of {language} with {containing!r}")
    return found


def step(name: str, command: str, folder: Path, environment: dict[str, str]) -> float:
    """Run *command* in a shell, print how long it took, and return that in seconds."""
    began = time.perf_counter()
    ran = subprocess.run(  # noqa: S603  # the README is ours
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if ran.returncode or not (ran.stdout or "install" in command):
        sys.exit(f"{name}: `{command}` ended with status {ran.returncode}:\n{ran.stdout}")
    print(f"{name:26} {seconds:6.1f} s   {command}")
    return seconds


def commands() -> list[str]:
    """Find what is typed: to install, to try, to install for tests, to test."""
    lines = block("Try it", "sh", "--demo"), block("Testing your own code", "sh", "pytest")
    return [command for line in lines for command in line.strip().split(" && ")]


def main() -> None:
    install, demo, prepare, test = commands()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "test_first.py").write_text(block("Testing your own code", "python", "def test_"), encoding="utf-8")
        venv.create(folder / "venv", with_pip=True)
        path = os.pathsep.join([str(folder / "venv" / "bin"), os.environ["PATH"]])
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL"))
        }
        environment = {**mine, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        seconds = [
            step("install", install, ROOT, environment),
            step("first idle sessions", demo, folder, environment),
            step("install for tests", prepare, folder, environment),
            step("first test", test, folder, environment),
        ]
    print(f"{'all':26} {sum(seconds):6.1f} s")


if __name__ == "__main__":
    main()
