"""Entry point of the command ``aidp-sessions``; names the missing extra if click or rich is not installed."""

from __future__ import annotations

import sys

_EXTRA = frozenset({"click", "rich"})


def main() -> None:
    """Run ``aidp-sessions``. Without the extra ``cli`` it prints how to install it and exits with status 1."""
    try:
        from .cli.commands import command  # noqa: PLC0415  # the extra may be missing
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.exit(f"aidp-sessions: the command needs {package!r}; install it with: pip install 'aidp-sessions[cli]'")
    command(prog_name="aidp-sessions")


if __name__ == "__main__":
    main()
