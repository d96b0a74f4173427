"""How results show themselves. The HTML is imported when it is first asked for, which most programs never do."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from . import html as html
else:

    def __getattr__(name: str) -> ModuleType:
        if name != "html":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(".html", __name__)
