"""Every example of the README and of the docstrings passes mypy, as strictly as it can be asked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ..helpers.readme import ROOT, blocks, docstring_blocks
from .test_readme import is_cell, program

if TYPE_CHECKING:
    from pathlib import Path

CACHE = ROOT / ".mypy_cache" / "examples"


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy comes with the extra dev")
def test_the_examples_have_no_type_error(tmp_path: Path) -> None:
    """The cells of a notebook are one program. pandas has no types of its own.

    mypy runs in a process of its own: it leaves so many objects behind that each collection of garbage takes seconds.
    """
    found = [block for block in (*blocks(), *docstring_blocks()) if block.language == "python"]
    programs = {block.place: block.code for block in found if not is_cell(block)}
    programs["the notebook"] = "".join(block.code for block in found if is_cell(block))
    files = {f"example_{number}.py": place for number, place in enumerate(programs)}
    for name, place in files.items():
        (tmp_path / name).write_text(program(programs[place]), encoding="utf-8")

    options = "--strict", "--disable-error-code=import-untyped", f"--cache-dir={CACHE}", "--config-file="
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    errors = [
        f"{files[line.partition(':')[0]]}:{line.partition(':')[2]}"
        for line in mypy.stdout.splitlines()
        if ".py:" in line
    ]
    assert (errors, mypy.stderr, mypy.returncode) == ([], "", 0)
