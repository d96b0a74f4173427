"""Entry point of the command ``aidp-sessions``; names the extra if one of its packages is not installed."""

from __future__ import annotations

import sys

_EXTRA = frozenset({"click", "jmespath", "rich"})


def main() -> None:
    """Run ``aidp-sessions``. Without the extra ``cli`` it prints how to install it and exits with status 4."""
    try:
        from .cli.commands import command  # noqa: PLC0415  # the extra may be missing
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(
            f"aidp-sessions: the command needs {package!r}; in the folder of the project's source, run: "
            "python -m pip install '.[cli]'\n"
        )
        sys.exit(4)
    command(prog_name="aidp-sessions")


if __name__ == "__main__":
    main()
