"""The exit statuses: one table for all commands."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What the exit status of the command says."""

    DONE = 0
    INCOMPLETE = 1
    USAGE = 2
    """As click has it."""
    REFUSED = 3
    NOTHING_READ = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """As a shell shows it for the many programs that SIGPIPE ends."""


def failure_status(*, others: bool) -> Status:
    """The status after a failure; *others* says whether anything else succeeded."""
    return Status.INCOMPLETE if others else Status.NOTHING_READ


EXIT_STATUSES = """\b
Exit status:
  0    done: every workspace answered, or there was nothing to do
  1    incomplete: a workspace or a kernel failed, or output could not be
       written; everything else was done
  2    wrong usage
  3    cull: the plan exceeds --max or --max-share; nothing was shut down
  4    nothing could be read: the configuration, the credentials, the
       connection or the service is the reason
  130  ended by Ctrl-C; what had been found until then was printed
  141  the output pipe was closed, for example by head
"""
