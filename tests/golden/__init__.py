"""Texts that are compared whole. ``UPDATE_GOLDEN=1 python -m pytest`` writes them anew; read the difference."""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(name: str, text: str) -> None:
    """Compare *text*, blanks at the ends of its lines aside, with the file *name* of this folder."""
    text = "".join(line.rstrip() + "\n" for line in text.splitlines())
    path = Path(__file__).with_name(f"{name}.txt")
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")

    assert text == path.read_text(encoding="utf-8")
