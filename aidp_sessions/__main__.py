"""Starts the command, or says how to install what it needs; holds nothing else."""

from __future__ import annotations

import sys

_EXTRA = frozenset({"click", "rich"})


def main() -> None:
    """Run ``aidp-sessions``; exits with status 1 and one line of advice where the extra ``cli`` is not installed."""
    try:
        from .cli.commands import command  # noqa: PLC0415  # it may fail
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.exit(f"aidp-sessions: the command needs {package!r}; install it with: pip install 'aidp-sessions[cli]'")
    command(prog_name="aidp-sessions")


if __name__ == "__main__":
    main()
