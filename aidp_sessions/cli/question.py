"""The question before something is deleted."""

from __future__ import annotations

import sys

import click

from .statuses import Status


def can_ask() -> bool:
    """Whether a question can be read and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask *question* on standard error; Ctrl-C and an end of the input end the command."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        sys.exit(Status.INTERRUPTED)
