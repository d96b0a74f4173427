"""The log of the library on standard error: warnings always, and every attempt with ``--debug``."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from .report import print_message
from .wording import in_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

_STYLES: Final = {logging.WARNING: "yellow", logging.ERROR: "bold red"}
_log = logging.getLogger("aidp_sessions")


class _LineHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        title, text = record.levelname.lower(), in_options(record.getMessage())
        if record.levelno < logging.WARNING:
            at = datetime.fromtimestamp(record.created, UTC).astimezone()
            text = f"{at.isoformat(timespec='milliseconds')} {text}"
        print_message(self._console, title, _STYLES.get(record.levelno, "dim"), text)


@contextmanager
def log_on(console: Console) -> Generator[None]:
    """Print what the library logs on *console*, one line each."""
    handler = _LineHandler(console)
    # The view of `watch` shows the outages that this module logs.
    handler.addFilter(lambda record: record.module != "changes" or _log.isEnabledFor(logging.DEBUG))
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
