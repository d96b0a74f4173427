"""JSON to models and back. The modules that need heavy libraries, msgspec and cattrs, are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from . import documents as documents
    from . import fast as fast
    from . import strict as strict
else:

    def __getattr__(name: str) -> ModuleType:
        if name not in ("documents", "fast", "strict"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f".{name}", __name__)
